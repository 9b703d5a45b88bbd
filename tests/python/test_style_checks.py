"""tools/check_includes and tools/check_protos find what they are there to find."""

import shutil
import subprocess

import pytest


@pytest.fixture
def tree(repo, tmp_path):
    """An empty repository; returns a function that adds files and runs a tool of ours in it."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "third_party").mkdir()
    (tmp_path / "third_party/.installed").symlink_to(repo / "third_party/.installed")
    shutil.copytree(repo / "tools", tmp_path / "tools")

    def run(tool, files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        done = subprocess.run([f"tools/{tool}"], cwd=tmp_path, capture_output=True, text=True,
                              check=False)
        return done.returncode, done.stdout

    return run


@pytest.mark.parametrize("path, header", [
    ("server/jobs/a.cc", "worker/engine/program.h"),
    ("worker/pipeline/a.cc", "server/jobs/job.h"),
    ("server/jobs/a.h", "server/api/compression_service.h"),
    ("worker/tensor/a.h", "worker/engine/program.h"),
    ("worker/engine/a.cc", "worker/kernels/cpu/onednn_backend.h"),
    ("worker/pipeline/a.cc", "topiary/v1/jobs.pb.h"),
    ("server/scheduling/a.cc", "grpcpp/grpcpp.h"),
    ("common/a.h", "server/jobs/job.h"),
    ("client/a.cc", "worker/agent/agent.h"),
    ("server/server.cc", "tests/cluster/test_cluster.h"),
])
def test_an_include_against_the_arrows_is_found(tree, path, header):
    status, output = tree("check_includes", {path: f'#include "{header}"\n'})
    assert status == 1
    assert output.startswith(f"{path}:1: ")


@pytest.mark.parametrize("path, header", [
    ("worker/agent/a.cc", "client/artifact_transfer.h"),
    ("worker/main.cc", "worker/kernels/cpu/onednn_backend.h"),
    ("worker/engine/a_test.cc", "worker/kernels/reference/reference_backend.h"),
    ("server/api/a.cc", "topiary/v1/jobs.grpc.pb.h"),
    ("worker/prune/a.cc", "worker/engine/program.h"),
    ("tests/cluster/a.cc", "server/jobs/job.h"),
    ("client/a.h", "absl/status/status.h"),
])
def test_an_include_along_the_arrows_passes(tree, path, header):
    assert tree("check_includes", {path: f'#include "{header}"\n'}) == (0, "")


GOOD_PROTO = """syntax = "proto3";
// Greets.
package topiary.v1;
service GreetingService {
  // Says hello.
  rpc Greet(GreetRequest) returns (GreetResponse);
}
message GreetRequest {
  // Who is greeted.
  string name = 1;
  // How often, and how loud.
  int32 count = 2;
  int32 volume = 3;
}
message GreetResponse {
  string text = 1;
}
// How it feels.
enum Mood {
  MOOD_UNSPECIFIED = 0;
  // Glad.
  MOOD_GLAD = 1;
}
"""


def test_a_proto_in_good_style_passes(tree):
    assert tree("check_protos", {"proto/topiary/v1/a.proto": GOOD_PROTO}) == (0, "")


@pytest.mark.parametrize("old, new, finding", [
    ("  // Says hello.\n", "", "rpc GreetingService.Greet has no comment"),
    ("  // Who is greeted.\n", "", "field GreetRequest.name has no comment"),
    ("  // Glad.\n", "\n", "enum value MOOD_GLAD has no comment"),
    ("// How it feels.\n", "\n", "enum Mood has no comment"),
    ("MOOD_UNSPECIFIED", "MOOD_NONE", "the zero of Mood is not MOOD_UNSPECIFIED"),
    ("MOOD_GLAD", "GLAD", "enum value GLAD does not begin with MOOD_"),
    ("string name", "string firstName", "field firstName"),
    ("rpc Greet(", "rpc greet(", "rpc greet"),
    ("package topiary.v1", "package topiary.v2", "is not the path of the file"),
])
def test_a_proto_in_bad_style_is_found(tree, old, new, finding):
    status, output = tree("check_protos",
                          {"proto/topiary/v1/a.proto": GOOD_PROTO.replace(old, new)})
    assert status == 1
    assert finding in output
