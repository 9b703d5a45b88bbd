#include "worker/model/onnx_import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "common/status_matchers.h"
#include "worker/model/onnx_export.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kUnimplemented = absl::StatusCode::kUnimplemented;
constexpr absl::StatusCode kExhausted = absl::StatusCode::kResourceExhausted;
constexpr int64_t kBatch = GraphBuilder::kBatch;

// A folder of its own for each test.
class OnnxImport : public testing::Test {
 protected:
  OnnxImport() : folder_(testing::TempDir() + "onnx_import_XXXXXX") {
    if (mkdtemp(folder_.data()) == nullptr) ADD_FAILURE() << "no folder " << folder_;
  }

  std::string Write(const std::string& name, const std::string& bytes) const {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

  absl::StatusOr<Graph> Import(const onnx::ModelProto& model,
                               const ImportLimits& limits = {}) const {
    return ImportOnnx(Write("model.onnx", model.SerializeAsString()), limits);
  }

  std::string folder_;
};

// x [batch, 4] -> Gemm with weight "w" [3, 4] and bias "b" -> Relu -> y.
onnx::ModelProto SmallModel() {
  const Graph graph = GraphBuilder()
                          .Input("x", {kBatch, 4})
                          .Weight("w", {3, 4})
                          .Weight("b", {3})
                          .Node("Gemm", {"x", "w", "b"}, {"h"}, {Int("transB", 1)}, "fc")
                          .Node("Relu", {"h"}, {"y"}, {}, "act")
                          .Output("y")
                          .Build();
  onnx::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(SerializeOnnx(graph).value()));
  return model;
}

onnx::TensorProto& Weight(onnx::ModelProto& model) {
  return *model.mutable_graph()->mutable_initializer(0);
}

void MakeExternal(onnx::TensorProto& tensor, const std::string& location,
                  const std::string& offset = "", const std::string& length = "") {
  tensor.clear_raw_data();
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  const auto add = [&tensor](const std::string& key, const std::string& value) {
    if (value.empty()) return;
    onnx::StringStringEntryProto& entry = *tensor.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  };
  add("location", location);
  add("offset", offset);
  add("length", length);
}

TEST_F(OnnxImport, KeepsNamesOrderAndNotes) {
  onnx::ModelProto model = SmallModel();
  model.set_producer_name("pytorch");
  model.set_doc_string("a model");
  onnx::StringStringEntryProto& entry = *model.add_metadata_props();
  entry.set_key("task");
  entry.set_value("digits");
  model.mutable_graph()->mutable_node(1)->set_doc_string("the last");
  ASSERT_OK_AND_ASSIGN(const Graph graph, Import(model));
  EXPECT_EQ(graph.producer_name, "pytorch");
  EXPECT_EQ(graph.model_doc, "a model");
  EXPECT_THAT(graph.metadata, ElementsAre(testing::Pair("task", "digits")));
  ASSERT_EQ(graph.nodes.size(), 2u);
  EXPECT_EQ(graph.nodes[0].name, "fc");
  EXPECT_THAT(graph.nodes[0].inputs, ElementsAre("x", "w", "b"));
  EXPECT_EQ(std::get<int64_t>(graph.nodes[0].FindAttribute("transB")->value), 1);
  EXPECT_EQ(graph.nodes[1].doc, "the last");
  ASSERT_EQ(graph.initializers.size(), 2u);
  EXPECT_EQ(graph.initializers[0].name, "w");
  EXPECT_EQ(graph.initializers[0].value.data<float>()[11], 0.12f);
  EXPECT_EQ(DimsToString(graph.inputs[0]), "[batch,4]");
}

TEST_F(OnnxImport, TakesEveryOpsetFrom13To21) {
  for (int64_t opset = kMinOpset; opset <= kMaxOpset; ++opset) {
    onnx::ModelProto model = SmallModel();
    model.mutable_opset_import(0)->set_version(opset);
    ASSERT_OK_AND_ASSIGN(const Graph graph, Import(model));
    EXPECT_EQ(graph.opset, opset);
  }
}

TEST_F(OnnxImport, AnUnusedImportOfAnotherDomainIsHarmless) {
  onnx::ModelProto model = SmallModel();
  onnx::OperatorSetIdProto& import = *model.add_opset_import();
  import.set_domain("pkg.onnxscript.torch_lib.common");
  import.set_version(1);
  EXPECT_OK(Import(model));
}

TEST_F(OnnxImport, InputsThatAnInitializerProvidesAreLeftOut) {
  onnx::ModelProto model = SmallModel();
  onnx::ValueInfoProto& input = *model.mutable_graph()->add_input();
  input.set_name("w");
  input.mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
  ASSERT_OK_AND_ASSIGN(const Graph graph, Import(model));
  ASSERT_EQ(graph.inputs.size(), 1u);
  EXPECT_EQ(graph.inputs[0].name, "x");
}

TEST_F(OnnxImport, AnIdentityOfAWeightBecomesAWeight) {
  const Graph graph = GraphBuilder()
                          .Input("x", {kBatch, 3})
                          .Weight("ones", {3})
                          .Node("Identity", {"ones"}, {"scale"})
                          .Node("Identity", {"scale"}, {"scale2"})
                          .Node("Identity", {"x"}, {"x2"})
                          .Node("Mul", {"x2", "scale2"}, {"y"})
                          .Output("y")
                          .Build();
  onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(SerializeOnnx(graph).value()));
  ASSERT_OK_AND_ASSIGN(const Graph read, Import(model));
  ASSERT_EQ(read.nodes.size(), 2u);
  EXPECT_EQ(read.nodes[0].op_type, "Identity");  // Of the data: stays.
  ASSERT_NE(read.FindInitializer("scale2"), nullptr);
  EXPECT_TRUE(
      BitwiseEqual(read.FindInitializer("scale2")->value, read.FindInitializer("ones")->value));
}

TEST_F(OnnxImport, CopiesOfAWeightCountAgainstTheLimit) {
  GraphBuilder builder;
  builder.Weight("w", {1000});
  for (int i = 0; i < 50; ++i) builder.Node("Identity", {"w"}, {"c" + std::to_string(i)});
  const Graph graph = builder.Node("Relu", {"c0"}, {"y"}).Output("y").Build();
  onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(SerializeOnnx(graph).value()));
  ImportLimits limits;
  limits.max_tensor_bytes = 100000;
  EXPECT_THAT(Import(model, limits), StatusIs(kExhausted, HasSubstr("more memory")));
}

TEST_F(OnnxImport, AMeanOverAllSpatialAxesIsGlobalPooling) {
  GraphBuilder builder;
  builder.Input("x", {kBatch, 3, 4, 4}).Ints("axes", {-1, -2});
  builder.Node("ReduceMean", {"x", "axes"}, {"p"}, {Int("keepdims", 0)}, "mean").Opset(18);
  onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(SerializeOnnx(builder.Output("p").Build()).value()));
  ASSERT_OK_AND_ASSIGN(const Graph graph, Import(model));
  ASSERT_EQ(graph.nodes.size(), 2u);
  EXPECT_EQ(graph.nodes[0].op_type, "GlobalAveragePool");
  EXPECT_EQ(graph.nodes[1].op_type, "Flatten");
  EXPECT_THAT(graph.nodes[1].outputs, ElementsAre("p"));
  // Over one of two axes it is not, and stays as it is.
  model.mutable_graph()->mutable_initializer(0)->set_dims(0, 1);
  model.mutable_graph()->mutable_initializer(0)->mutable_raw_data()->resize(8);
  ASSERT_OK_AND_ASSIGN(const Graph other, Import(model));
  EXPECT_EQ(other.nodes[0].op_type, "ReduceMean");
}

TEST_F(OnnxImport, ElementsMayLieInTypedFields) {
  onnx::ModelProto model = SmallModel();
  onnx::TensorProto& bias = *model.mutable_graph()->mutable_initializer(1);
  bias.clear_raw_data();
  for (float v : {1.0f, 2.0f, 3.0f}) bias.add_float_data(v);
  onnx::TensorProto& flags = *model.mutable_graph()->add_initializer();
  flags.set_name("flags");
  flags.set_data_type(onnx::TensorProto::BOOL);
  flags.add_dims(2);
  flags.add_int32_data(1);
  flags.add_int32_data(0);
  ASSERT_OK_AND_ASSIGN(const Graph graph, Import(model));
  EXPECT_THAT(graph.FindInitializer("b")->value.span<float>(), ElementsAre(1, 2, 3));
  EXPECT_THAT(graph.FindInitializer("flags")->value.span<bool>(), ElementsAre(true, false));
}

TEST_F(OnnxImport, WeightsMayLieBesideTheModel) {
  onnx::ModelProto model = SmallModel();
  const std::string raw = Weight(model).raw_data();
  Write("model.onnx.data", "pad!" + raw);
  MakeExternal(Weight(model), "model.onnx.data", "4", std::to_string(raw.size()));
  ASSERT_OK_AND_ASSIGN(const Graph graph, Import(model));
  EXPECT_EQ(graph.initializers[0].value.data<float>()[0], 0.01f);
  EXPECT_EQ(graph.initializers[0].value.data<float>()[11], 0.12f);
}

TEST_F(OnnxImport, ExternalDataMayLieInAFolderBelow) {
  onnx::ModelProto model = SmallModel();
  ASSERT_EQ(mkdir((folder_ + "/weights").c_str(), 0700), 0);
  Write("weights/w.bin", Weight(model).raw_data());
  MakeExternal(Weight(model), "./weights/w.bin");
  EXPECT_OK(Import(model));
}

TEST_F(OnnxImport, BytesInMemoryAreAModelTooButHaveNoFilesBeside) {
  onnx::ModelProto model = SmallModel();
  ASSERT_OK_AND_ASSIGN(const Graph graph, ParseOnnx(model.SerializeAsString()));
  EXPECT_EQ(graph.initializers[0].value.data<float>()[0], 0.01f);
  Write("w.bin", Weight(model).raw_data());
  MakeExternal(Weight(model), folder_ + "/w.bin");
  EXPECT_THAT(ParseOnnx(model.SerializeAsString()),
              StatusIs(kInvalid, AllOf(HasSubstr("initializer 'w'"), HasSubstr("another file"))));
}

struct BadExternal {
  const char* name;
  std::string location;
  std::string offset;
  std::string length;
  const char* message;
  absl::StatusCode code = kInvalid;
};

class BadExternalData : public OnnxImport, public testing::WithParamInterface<BadExternal> {};

// Outside the model's folder there is a file with the right bytes, which must never be read.
TEST_P(BadExternalData, IsRefused) {
  const BadExternal& c = GetParam();
  onnx::ModelProto model = SmallModel();
  const std::string raw = Weight(model).raw_data();
  const std::string outside = folder_;
  Write("secret", raw);
  folder_ += "/model";
  ASSERT_EQ(mkdir(folder_.c_str(), 0700), 0);
  Write("data", raw);
  ASSERT_EQ(symlink((outside + "/secret").c_str(), (folder_ + "/link").c_str()), 0);
  ASSERT_EQ(symlink(outside.c_str(), (folder_ + "/up").c_str()), 0);
  ASSERT_EQ(mkfifo((folder_ + "/fifo").c_str(), 0600), 0);
  const std::string location = c.location == "ABSOLUTE" ? outside + "/secret" : c.location;
  MakeExternal(Weight(model), location, c.offset, c.length);
  EXPECT_THAT(Import(model),
              StatusIs(c.code, AllOf(HasSubstr("initializer 'w'"), HasSubstr(c.message))));
}

INSTANTIATE_TEST_SUITE_P(
    OnnxImport, BadExternalData,
    testing::Values(BadExternal{"Parent", "../secret", "", "", "'..'"},
                    BadExternal{"ParentInside", "up/../data", "", "", "'..'"},
                    BadExternal{"Absolute", "ABSOLUTE", "", "", "absolute"},
                    BadExternal{"Symlink", "link", "", "", "symbolic link"},
                    BadExternal{"FolderSymlink", "up/secret", "", "", "symbolic link"},
                    BadExternal{"Fifo", "fifo", "", "", "not a regular file"},
                    BadExternal{"Folder", ".", "", "", "'.'"},
                    BadExternal{"DoubleSlash", "a//b", "", "", "part ''"},
                    BadExternal{"NoLocation", "", "0", "", "not a file name"},
                    BadExternal{"NulByte", std::string("data\0x", 6), "", "", "not a file name"},
                    BadExternal{"Missing", "gone", "", "", "upload it with the model",
                                absl::StatusCode::kNotFound},
                    BadExternal{"PastTheEnd", "data", "4", "", "not in it"},
                    BadExternal{"HugeOffset", "data", "9223372036854775807", "", "not in it"},
                    BadExternal{"NegativeOffset", "data", "-4", "", "no number of bytes"},
                    BadExternal{"OffsetIsText", "data", "zero", "", "no number of bytes"},
                    BadExternal{"LengthDisagrees", "data", "0", "40", "needs 48 bytes"}),
    [](const auto& info) { return std::string(info.param.name); });

struct Corruption {
  const char* name;
  std::function<void(onnx::ModelProto&)> corrupt;
  absl::StatusCode code;
  const char* message;
};

class CorruptModels : public OnnxImport, public testing::WithParamInterface<Corruption> {};

TEST_P(CorruptModels, AreRefusedWithAReason) {
  onnx::ModelProto model = SmallModel();
  GetParam().corrupt(model);
  EXPECT_THAT(Import(model), StatusIs(GetParam().code, AllOf(HasSubstr("model model.onnx: "),
                                                             HasSubstr(GetParam().message))));
}

using M = onnx::ModelProto;
onnx::NodeProto& FirstNode(M& m) { return *m.mutable_graph()->mutable_node(0); }
onnx::AttributeProto& FirstAttribute(M& m) { return *FirstNode(m).mutable_attribute(0); }

INSTANTIATE_TEST_SUITE_P(
    OnnxImport, CorruptModels,
    testing::Values(
        Corruption{"NoGraph", [](M& m) { m.clear_graph(); }, kInvalid, "holds no graph"},
        Corruption{"OldOpset", [](M& m) { m.mutable_opset_import(0)->set_version(12); },
                   kUnimplemented, "opset is 12; supported are 13 to 21"},
        Corruption{"NewOpset", [](M& m) { m.mutable_opset_import(0)->set_version(22); },
                   kUnimplemented, "opset is 22"},
        Corruption{"NoOpset", [](M& m) { m.clear_opset_import(); }, kUnimplemented, "opset is 0"},
        Corruption{"TwoOpsets", [](M& m) { *m.add_opset_import() = m.opset_import(0); }, kInvalid,
                   "imports ONNX's operators twice"},
        Corruption{"NewIr", [](M& m) { m.set_ir_version(11); }, kUnimplemented, "IR version is 11"},
        Corruption{"NoIr", [](M& m) { m.clear_ir_version(); }, kUnimplemented, "IR version is 0"},
        Corruption{"Functions", [](M& m) { m.add_functions()->set_name("MyGelu"); }, kUnimplemented,
                   "'MyGelu'"},
        Corruption{"TrainingInfo", [](M& m) { m.add_training_info(); }, kUnimplemented,
                   "training_info"},
        Corruption{"SparseInitializer", [](M& m) { m.mutable_graph()->add_sparse_initializer(); },
                   kUnimplemented, "sparse"},
        Corruption{"Quantized", [](M& m) { m.mutable_graph()->add_quantization_annotation(); },
                   kUnimplemented, "quantized"},
        Corruption{"Subgraph",
                   [](M& m) {
                     FirstAttribute(m).set_type(onnx::AttributeProto::GRAPH);
                     FirstAttribute(m).mutable_g();
                   },
                   kUnimplemented, "Gemm node 'fc': attribute 'transB': it holds a subgraph"},
        Corruption{"UntypedAttribute", [](M& m) { FirstAttribute(m).clear_type(); }, kUnimplemented,
                   "attributes of type 0"},
        Corruption{"AttributeTwice",
                   [](M& m) { *FirstNode(m).add_attribute() = FirstAttribute(m); }, kInvalid,
                   "'transB' is given twice"},
        Corruption{"NoOperator", [](M& m) { FirstNode(m).clear_op_type(); }, kInvalid,
                   "no operator"},
        Corruption{"DuplicateValue", [](M& m) { FirstNode(m).set_output(0, "x"); }, kInvalid,
                   "'x' is produced twice"},
        Corruption{"MissingValue", [](M& m) { FirstNode(m).set_input(1, "v"); }, kInvalid,
                   "reads 'v'"},
        Corruption{"Cycle", [](M& m) { FirstNode(m).set_input(0, "y"); }, kInvalid, "cycle"},
        Corruption{"NoOutputs", [](M& m) { m.mutable_graph()->clear_output(); }, kInvalid,
                   "no outputs"},
        Corruption{"NameIsNotUtf8", [](M& m) { FirstNode(m).set_name("\xff"); }, kInvalid,
                   "not UTF-8"},
        Corruption{"NameHasControlCharacters", [](M& m) { Weight(m).set_name("w\n"); }, kInvalid,
                   "not UTF-8"},
        Corruption{"SequenceInput",
                   [](M& m) {
                     m.mutable_graph()->mutable_input(0)->mutable_type()->mutable_sequence_type();
                   },
                   kUnimplemented, "graph input 'x' is no tensor"},
        Corruption{"StringInput",
                   [](M& m) {
                     m.mutable_graph()
                         ->mutable_input(0)
                         ->mutable_type()
                         ->mutable_tensor_type()
                         ->set_elem_type(onnx::TensorProto::STRING);
                   },
                   kUnimplemented, "data type 8"},
        Corruption{"NegativeExtent",
                   [](M& m) {
                     m.mutable_graph()
                         ->mutable_input(0)
                         ->mutable_type()
                         ->mutable_tensor_type()
                         ->mutable_shape()
                         ->mutable_dim(1)
                         ->set_dim_value(-3);
                   },
                   kInvalid, "extent of -3"},
        Corruption{"HalfWeights", [](M& m) { Weight(m).set_data_type(onnx::TensorProto::FLOAT16); },
                   kUnimplemented, "initializer 'w': it is float16; weights must be float32"},
        Corruption{"DoubleWeights",
                   [](M& m) { Weight(m).set_data_type(onnx::TensorProto::DOUBLE); }, kUnimplemented,
                   "it is float64"},
        Corruption{"NoType", [](M& m) { Weight(m).clear_data_type(); }, kUnimplemented,
                   "data type 0"},
        Corruption{"TooFewBytes", [](M& m) { Weight(m).mutable_raw_data()->pop_back(); }, kInvalid,
                   "shape [3,4] needs 48 bytes, but 47"},
        Corruption{"TooManyElements",
                   [](M& m) {
                     Weight(m).clear_raw_data();
                     for (int i = 0; i < 13; ++i) Weight(m).add_float_data(0);
                   },
                   kInvalid, "has 12 elements, but 13"},
        Corruption{"NegativeDim", [](M& m) { Weight(m).set_dims(0, -3); }, kInvalid, "negative"},
        Corruption{"OverflowingDims",
                   [](M& m) {
                     Weight(m).set_dims(0, int64_t{1} << 40);
                     Weight(m).set_dims(1, int64_t{1} << 40);
                   },
                   kInvalid, "more than"},
        Corruption{"HugeEmptyDims",
                   [](M& m) {
                     Weight(m).clear_raw_data();
                     Weight(m).set_dims(0, 0);
                     Weight(m).set_dims(1, INT64_MAX);
                   },
                   kInvalid, "more than"},
        Corruption{"HugeTensorWithoutData",
                   [](M& m) {
                     Weight(m).clear_raw_data();
                     Weight(m).set_dims(0, int64_t{1} << 36);
                   },
                   kExhausted, "more memory than allowed"},
        Corruption{"HighRank",
                   [](M& m) {
                     for (int i = 0; i < 9; ++i) Weight(m).add_dims(1);
                   },
                   kExhausted, "rank is 11"},
        Corruption{"Segment", [](M& m) { Weight(m).mutable_segment(); }, kUnimplemented,
                   "segments"},
        Corruption{"BadBool",
                   [](M& m) {
                     Weight(m).set_data_type(onnx::TensorProto::BOOL);
                     Weight(m).set_raw_data(std::string(12, '\2'));
                   },
                   kInvalid, "no bool"},
        Corruption{"NarrowOverflow",
                   [](M& m) {
                     Weight(m).set_data_type(onnx::TensorProto::UINT8);
                     Weight(m).clear_raw_data();
                     for (int i = 0; i < 12; ++i) Weight(m).add_int32_data(256);
                   },
                   kInvalid, "256 is no uint8"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(OnnxImport, LimitsOnNodesFieldsAndStructureHold) {
  const onnx::ModelProto model = SmallModel();
  ImportLimits limits;
  limits.max_nodes = 1;
  EXPECT_THAT(Import(model, limits), StatusIs(kExhausted, HasSubstr("2 nodes")));
  limits = ImportLimits();
  limits.max_fields = 20;
  EXPECT_THAT(Import(model, limits), StatusIs(kExhausted, HasSubstr("20 fields")));
  limits = ImportLimits();
  limits.max_structure_bytes = 100;
  EXPECT_THAT(Import(model, limits), StatusIs(kExhausted, HasSubstr("besides raw weights")));
  limits = ImportLimits();
  limits.max_file_bytes = 100;
  EXPECT_THAT(Import(model, limits), StatusIs(kExhausted, HasSubstr("at most 100")));
  limits = ImportLimits();
  limits.max_tensor_bytes = 50;
  EXPECT_THAT(Import(model, limits), StatusIs(kExhausted, HasSubstr("initializer 'b'")));
}

TEST_F(OnnxImport, DeeplyNestedGraphsAreRefusedBeforeTheyAreParsed) {
  onnx::ModelProto model = SmallModel();
  onnx::GraphProto* graph = model.mutable_graph();
  for (int i = 0; i < 40; ++i) graph = graph->add_node()->add_attribute()->mutable_g();
  EXPECT_THAT(Import(model), StatusIs(kInvalid, HasSubstr("nested deeper")));
}

TEST_F(OnnxImport, EveryTruncationIsAnError) {
  const std::string bytes = SmallModel().SerializeAsString();
  for (size_t length = 0; length < bytes.size(); ++length) {
    const auto graph = ImportOnnx(Write("model.onnx", bytes.substr(0, length)));
    EXPECT_THAT(graph, Not(IsOk())) << length << " of " << bytes.size() << " bytes";
  }
}

// Whatever a changed byte makes of the file, the answer is a graph or an error.
TEST_F(OnnxImport, NoChangedByteCrashes) {
  const std::string bytes = SmallModel().SerializeAsString();
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (unsigned char flip : {0x01, 0x80, 0xff}) {
      std::string changed = bytes;
      changed[i] = static_cast<char>(static_cast<unsigned char>(changed[i]) ^ flip);
      const auto graph = ImportOnnx(Write("model.onnx", changed));
      if (!graph.ok()) continue;
      EXPECT_FALSE(graph->outputs.empty());
    }
  }
}

TEST_F(OnnxImport, OtherFilesAreNoModels) {
  EXPECT_THAT(ImportOnnx(Write("a", "")), StatusIs(kInvalid, HasSubstr("empty")));
  EXPECT_THAT(ImportOnnx(Write("b", "\x89PNG\r\n\x1a\n")),
              StatusIs(kInvalid, HasSubstr("ONNX model cut short")));
  EXPECT_THAT(ImportOnnx(Write("c", "hello, world")),
              StatusIs(kInvalid, HasSubstr("not an ONNX model")));
  EXPECT_THAT(ImportOnnx(folder_ + "/none"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(ImportOnnx(folder_), Not(IsOk()));
}

}  // namespace
}  // namespace topiary
