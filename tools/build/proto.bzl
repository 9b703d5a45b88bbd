"""C++ and gRPC classes from .proto files, with the system's protoc.

cc_proto(name = "x", srcs = [...]) declares
  :x_cc_proto        the messages (`<file>.pb.h`),
  :x_cc_grpc         with grpc = True: messages and gRPC stubs (`<file>.grpc.pb.h`),
  :x_descriptor_set  x_descriptor_set.pb, a FileDescriptorSet with imports and comments,
  :x_protos          the sources, for other users of protoc.

Headers are included, and protos imported, by their path from `root`, the folder of this package
or one of its parents: with root = "proto" the package //proto/topiary/v1 gives
#include "topiary/v1/jobs.pb.h" and import "topiary/v1/jobs.proto". Generated sources are compiled
without warnings.
google/rpc, google/api and google/protobuf can always be imported.
"""

_GOOGLEAPIS = "external/googleapis"

def _outputs(srcs, suffixes):
    return [src[:-len(".proto")] + suffix for src in srcs for suffix in suffixes]

def cc_proto(name, srcs, root = "", deps = [], proto_deps = [], grpc = False, visibility = None):
    """Declares the targets described at the top of this file.

    Args:
      name: prefix of the targets' names.
      srcs: .proto files of this package.
      root: folder that import paths start from, as seen from the repository's root.
      deps: C++ targets of the imported protos (`..._cc_proto`).
      proto_deps: file targets of the imported protos (`..._protos`).
      grpc: whether the files declare services.
      visibility: of all targets.
    """
    external = native.repository_name().strip("@")
    prefix = "external/" + external if external else "."
    source_root = prefix + "/" + root if root else prefix
    is_googleapis = external == "googleapis"
    tool_srcs = srcs + proto_deps + ([] if is_googleapis else ["@googleapis//:protos"])
    paths = " ".join(["-I" + source_root] + ([] if is_googleapis else ["-I" + _GOOGLEAPIS]) +
                     ["-I/usr/include"])
    files = " ".join(["$(locations %s)" % src for src in srcs])
    output = "$(BINDIR)/" + source_root

    native.filegroup(name = name + "_protos", srcs = srcs, visibility = visibility)
    native.genrule(
        name = name + "_pb",
        srcs = tool_srcs,
        outs = _outputs(srcs, [".pb.h", ".pb.cc"]),
        cmd = "protoc %s --cpp_out=%s %s" % (paths, output, files),
    )
    native.genrule(
        name = name + "_descriptor_set",
        srcs = tool_srcs,
        outs = [name + "_descriptor_set.pb"],
        cmd = "protoc %s --include_imports --include_source_info --descriptor_set_out=$@ %s" %
              (paths, files),
        visibility = visibility,
    )
    native.cc_library(
        name = name + "_cc_proto",
        srcs = _outputs(srcs, [".pb.cc"]),
        hdrs = _outputs(srcs, [".pb.h"]),
        copts = ["-w"],
        strip_include_prefix = "/" + root,
        visibility = visibility,
        deps = deps + ["@com_google_protobuf//:protobuf"],
    )
    if not grpc:
        return
    native.genrule(
        name = name + "_grpc_pb",
        srcs = tool_srcs,
        outs = _outputs(srcs, [".grpc.pb.h", ".grpc.pb.cc"]),
        cmd = ("protoc %s --plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin --grpc_out=%s %s" %
               (paths, output, files)),
    )
    native.cc_library(
        name = name + "_cc_grpc",
        srcs = _outputs(srcs, [".grpc.pb.cc"]),
        hdrs = _outputs(srcs, [".grpc.pb.h"]),
        copts = ["-w"],
        strip_include_prefix = "/" + root,
        visibility = visibility,
        deps = [":%s_cc_proto" % name, "@com_github_grpc_grpc//:grpc++"],
    )
