"""The part of rules_cc that Bazel 4 and the other rule sets ask for: native rules under their names.

Debian's bazel-rules-cc is written for a newer Bazel than Debian's bazel-bootstrap.
"""

load("@bazel_tools//tools/cpp:compiler_flag.bzl", _compiler_flag = "compiler_flag")

cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_proto_library = native.cc_proto_library
cc_test = native.cc_test
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
objc_library = native.objc_library
fdo_prefetch_hints = native.fdo_prefetch_hints
fdo_profile = native.fdo_profile
compiler_flag = _compiler_flag
