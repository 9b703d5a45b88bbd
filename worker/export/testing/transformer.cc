#include "worker/export/testing/transformer.h"

#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/engine/testing/gradient_case.h"
#include "worker/export/testing/shrink_checks.h"

namespace topiary {
namespace {

using Form = TransformerForm;

class Builder {
 public:
  explicit Builder(const Form& form) : form_(form) {}

  Graph Build() {
    graph_.Input("ids", {GraphBuilder::kBatch, form_.places}, DType::kInt64)
        .Weight("table", Shape({11, form_.width}))
        .Weight("places", Shape({form_.places, form_.width}))
        .Node("Gather", {"table", "ids"}, "embedded")
        .Node("Add", {"embedded", "places"}, "x");
    std::string x = "x";
    for (int i = 0; i < form_.blocks; ++i) x = Block(absl::StrCat("b", i), x);
    graph_.Constant("first", Tensor::FromVector<int64_t>(Shape({}), {0}))
        .Node("Gather", {x, "first"}, "pooled", {Int("axis", 1)})
        .Weight("head.w", Shape({4, form_.width}), 0.3F)
        .Node("Gemm", {"pooled", "head.w"}, "y", {Int("transB", 1)})
        .Output("y");
    Graph graph = graph_.Finish("t", LossKind::kNone, 2).graph;
    graph.opset = 20;
    return graph;
  }

 private:
  int64_t AllHeads() const { return form_.heads * form_.queries * form_.depth; }

  // [batch, places, in] to [batch, places, out], or both without the first two axes apart.
  std::string Linear(const std::string& name, const std::string& src, int64_t in, int64_t out,
                     bool bias = true) {
    const float scale = 1 / std::sqrt(static_cast<float>(in));
    const bool turned = form_.linear != Form::Linear::kMatMul;
    graph_.Weight(name + ".w", turned ? Shape({out, in}) : Shape({in, out}), scale);
    if (bias) graph_.Weight(name + ".b", Shape({out}), 0.5F);
    if (form_.linear == Form::Linear::kGemm) {
      graph_.Ints(name + ".rows", {-1, in})
          .Node("Reshape", {src, name + ".rows"}, name + ".flat")
          .Node("Gemm",
                bias ? std::vector<std::string>{name + ".flat", name + ".w", name + ".b"}
                     : std::vector<std::string>{name + ".flat", name + ".w"},
                name + ".product", {Int("transB", 1)})
          .Ints(name + ".stacked", {-1, form_.places, out})
          .Node("Reshape", {name + ".product", name + ".stacked"}, name);
      return name;
    }
    std::string weight = name + ".w";
    if (turned) {
      graph_.Node("Transpose", {weight}, name + ".t", {List("perm", {1, 0})});
      weight = name + ".t";
    }
    graph_.Node("MatMul", {src, weight}, bias ? name + ".product" : name);
    if (bias) graph_.Node("Add", {name + ".b", name + ".product"}, name);
    return name;
  }

  // The operand of a Reshape to [batch, places, extents...], the first two read off `like`.
  std::string Extents(const std::string& name, const std::string& like,
                      const std::vector<int64_t>& extents) {
    std::vector<int64_t> all = {0, 0};
    if (form_.extents == Form::Extents::kWritten) all = {-1, form_.places};
    all.insert(all.end(), extents.begin(), extents.end());
    if (form_.extents == Form::Extents::kCopied) all.back() = -1;
    if (form_.extents != Form::Extents::kComputed) {
      graph_.Ints(name, all);
      return name;
    }
    std::vector<std::string> parts;
    const auto part = [&](const std::string& value) {
      parts.push_back(value + ".1");
      graph_.Node("Unsqueeze", {value, name + ".zero"}, parts.back());
    };
    const auto number = [&](const std::string& value, int64_t n) {
      graph_.Node("Constant", {}, value,
                  {Constant("value", Tensor::FromVector<int64_t>(Shape({}), {n}))});
    };
    graph_.Ints(name + ".zero", {0}).Node("Shape", {like}, name + ".shape");
    for (int64_t axis = 0; axis < 2; ++axis) {
      const std::string extent = absl::StrCat(name, ".", axis);
      number(extent + ".index", axis);
      graph_.Node("Gather", {name + ".shape", extent + ".index"}, extent, {Int("axis", 0)});
      part(extent);
    }
    for (size_t i = 0; i < extents.size(); ++i) {
      const std::string extent = absl::StrCat(name, ".e", i);
      number(extent, extents[i]);
      part(extent);
    }
    graph_.Node("Concat", parts, name, {Int("axis", 0)});
    return name;
  }

  // [batch, heads, places, depth], or [batch, heads, depth, places]: see `order`.
  std::string Split(const std::string& name, const std::string& src,
                    const std::vector<int64_t>& extents, const std::vector<int64_t>& order) {
    const std::string to = Extents(name + ".to", form_.extents_of_projection ? name : src, extents);
    graph_.Node("Reshape", {name, to}, name + ".split")
        .Node("Transpose", {name + ".split"}, name + ".heads", {List("perm", order)});
    return name + ".heads";
  }

  struct Heads {
    std::string query, key, value;
  };

  Heads Fused(const std::string& block, const std::string& x) {
    const std::string name = Linear(block + ".qkv", x, form_.width, 3 * AllHeads());
    const std::string all = Split(name, x, {3, form_.heads, form_.depth}, {2, 0, 3, 1, 4});
    const char* const parts[] = {".q", ".k", ".v"};
    for (int64_t i = 0; i < 3; ++i) {
      const std::string part = block + parts[i];
      graph_.Constant(part + ".index", Tensor::FromVector<int64_t>(Shape({}), {i}))
          .Node("Gather", {all, part + ".index"}, part, {Int("axis", 0)});
    }
    graph_.Node("Transpose", {block + ".k"}, block + ".kt", {List("perm", {0, 1, 3, 2})});
    return {block + ".q", block + ".kt", block + ".v"};
  }

  Heads Apart(const std::string& block, const std::string& x) {
    const int64_t keys = form_.shared_keys ? 1 : form_.heads;
    const std::string q = Linear(block + ".q", x, form_.width, AllHeads());
    const std::string k = Linear(block + ".k", x, form_.width, keys * form_.depth);
    const std::string v = Linear(block + ".v", x, form_.width, keys * form_.depth);
    if (form_.queries == 1) {
      return {Split(q, x, {form_.heads, form_.depth}, {0, 2, 1, 3}),
              Split(k, x, {keys, form_.depth}, {0, 2, 3, 1}),
              Split(v, x, {keys, form_.depth}, {0, 2, 1, 3})};
    }
    return {Split(q, x, {keys, form_.queries, form_.depth}, {0, 2, 3, 1, 4}),
            Split(k, x, {keys, 1, form_.depth}, {0, 2, 3, 4, 1}),
            Split(v, x, {keys, 1, form_.depth}, {0, 2, 3, 1, 4})};
  }

  std::string Scaled(const std::string& name, const std::string& src, bool applies) {
    if (!applies) return src;
    graph_.Constant(name + ".factor", Tensor::Scalar(0.5F))
        .Node("Mul", {src, name + ".factor"}, name);
    return name;
  }

  std::string Masked(const std::string& name, const std::string& src) {
    if (form_.mask == Form::Mask::kNone) return src;
    const int64_t n = form_.places;
    Shape shape({n, n});
    if (form_.mask == Form::Mask::kForAllHeads) shape = Shape({1, 1, n, n});
    const bool computed = form_.mask == Form::Mask::kPerHeadComputed;
    if (computed || form_.mask == Form::Mask::kPerHead) shape = Shape({1, form_.heads, n, n});
    Tensor mask = RandomWeight(name + ".mask", shape);
    if (computed) {
      graph_.Node("Constant", {}, name + ".mask", {Constant("value", std::move(mask))});
    } else {
      graph_.Constant(name + ".mask", std::move(mask));
    }
    graph_.Node("Add", {src, name + ".mask"}, name);
    return name;
  }

  std::string Attention(const std::string& block, const std::string& x) {
    Heads heads = form_.fused ? Fused(block, x) : Apart(block, x);
    const bool early = form_.scale == Form::Scale::kQueryAndKey;
    heads.query = Scaled(block + ".q.scaled", heads.query, early);
    heads.key = Scaled(block + ".k.scaled", heads.key, early);
    graph_.Node("MatMul", {heads.query, heads.key}, block + ".products");
    const std::string scores =
        Masked(block + ".scores",
               Scaled(block + ".scaled", block + ".products", form_.scale == Form::Scale::kScores));
    const std::vector<int64_t> back =
        form_.queries == 1 ? std::vector<int64_t>{0, 2, 1, 3} : std::vector<int64_t>{0, 3, 1, 2, 4};
    graph_.Node("Softmax", {scores}, block + ".weights", {Int("axis", -1)})
        .Node("MatMul", {block + ".weights", heads.value}, block + ".weighted")
        .Node("Transpose", {block + ".weighted"}, block + ".back", {List("perm", back)});
    const std::string to = Extents(block + ".joined.to", x, {AllHeads()});
    graph_.Node("Reshape", {block + ".back", to}, block + ".joined");
    return Linear(block + ".o", block + ".joined", AllHeads(), form_.width, form_.output_bias);
  }

  std::string Normalized(const std::string& name, const std::string& a, const std::string& b) {
    graph_.Weight(name + ".scale", Shape({form_.width}))
        .Weight(name + ".shift", Shape({form_.width}))
        .Node("Add", {a, b}, name + ".sum")
        .Node("LayerNormalization", {name + ".sum", name + ".scale", name + ".shift"}, name);
    return name;
  }

  std::string Block(const std::string& block, const std::string& x) {
    const std::string y = Normalized(block + ".n1", x, Attention(block, x));
    const std::string up = Linear(block + ".up", y, form_.width, form_.hidden);
    graph_.Node("Gelu", {up}, block + ".gelu");
    return Normalized(block + ".n2", y,
                      Linear(block + ".down", block + ".gelu", form_.hidden, form_.width));
  }

  const Form form_;
  GradientGraph graph_;
};

std::string Weight(int block, const std::string& name) {
  return absl::StrCat("b", block, ".", name, ".w");
}

}  // namespace

Graph Transformer(const TransformerForm& form) { return Builder(form).Build(); }

int InAxis(const TransformerForm& form) { return form.linear == Form::Linear::kMatMul ? 0 : 1; }
int OutAxis(const TransformerForm& form) { return 1 - InAxis(form); }

void ClearReader(Graph* graph, const TransformerForm& form, int block, int64_t head) {
  const int64_t rows = form.queries * form.depth;
  for (int64_t i = 0; i < rows; ++i) {
    ClearSlice(graph, Weight(block, "o"), InAxis(form), head * rows + i);
  }
}

void ClearValues(Graph* graph, const TransformerForm& form, int block, int64_t head) {
  const int64_t before = form.fused ? 2 * form.heads : 0;
  for (int64_t i = 0; i < form.depth; ++i) {
    ClearSlice(graph, Weight(block, form.fused ? "qkv" : "v"), OutAxis(form),
               (before + head) * form.depth + i);
  }
}

}  // namespace topiary
