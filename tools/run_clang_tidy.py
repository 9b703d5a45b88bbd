#!/usr/bin/python3
"""Runs clang-tidy on every source file that Bazel compiles, with the flags that Bazel uses.

Files that passed are remembered by the digest of what they were compiled from, below out/tidy, so that a
second run looks only at what changed.
"""

import argparse
import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

CLANG_TIDY = os.path.abspath("third_party/.installed/clang-tidy/bin/clang-tidy")
PASSED = pathlib.Path("out/tidy")
# Options of gcc that clang does not know, and outputs.
DROPPED = re.compile(r"^(-fno-canonical-system-headers|-Wno-free-nonheap-object|-frandom-seed=.*|"
                     r"-Werror|-MD|-Wunused-but-set-parameter)$")
DROPPED_WITH_VALUE = {"-MF", "-o", "-c"}


def compile_commands(targets):
    """Yields (source, flags) of each C++ file of ours among the targets."""
    query = f'mnemonic("CppCompile", {" + ".join(targets)})'
    output = subprocess.run(["bazel", "aquery", "--noshow_progress", "--output=jsonproto", query],
                            check=True, stdout=subprocess.PIPE).stdout
    for action in json.loads(output).get("actions", []):
        arguments = action["arguments"]
        source = arguments[arguments.index("-c") + 1]
        if source.startswith(("external/", "bazel-out/")):
            continue
        flags, skip = [], False
        for argument in arguments[1:]:
            if skip or argument in DROPPED_WITH_VALUE:
                skip = not skip
            elif not DROPPED.match(argument):
                flags.append(argument)
        yield source, flags


def digest_of(source, flags, root):
    """What the result depends on: the configuration, the flags and all files of ours included."""
    digest = hashlib.sha256(pathlib.Path(".clang-tidy").read_bytes())
    digest.update("\0".join(flags).encode())
    listed = subprocess.run(["clang++-16", "-MM", *flags, source], cwd=root, capture_output=True,
                            text=True, check=False).stdout
    for name in sorted(set(listed.replace("\\\n", " ").split()[1:])):
        path = pathlib.Path(root, name)
        if path.exists():
            digest.update(path.read_bytes())
    return digest.hexdigest()


@functools.cache
def openmp_header():
    """Flags to find omp.h, which the wheel of clang-tidy has not."""
    folder = subprocess.run(["clang++-16", "-print-resource-dir"], check=True, capture_output=True,
                            text=True).stdout.strip()
    return ["-idirafter", f"{folder}/include"]


def tidy(source, flags, root):
    """Returns (source, findings); no findings if the file passed now or before."""
    mark = PASSED / digest_of(source, flags, root)
    if mark.exists():
        return source, ""
    done = subprocess.run([CLANG_TIDY, "--quiet", f"--config-file={os.path.abspath('.clang-tidy')}",
                           source, "--", *flags, *openmp_header()], cwd=root,
                          capture_output=True, text=True, check=False)
    if done.returncode == 0:
        mark.touch()
        return source, ""
    return source, done.stdout + done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", default=["//..."], help="Bazel's targets")
    targets = parser.parse_args().targets
    PASSED.mkdir(parents=True, exist_ok=True)
    # The protos' headers must exist.
    subprocess.run(["bazel", "build", "--noshow_progress", "--keep_going", *targets], check=True)
    root = subprocess.run(["bazel", "info", "execution_root"], check=True, capture_output=True,
                          text=True).stdout.strip()
    commands = dict(compile_commands(targets))
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for source, findings in pool.map(lambda c: tidy(*c, root), sorted(commands.items())):
            if findings:
                failed += 1
                print(f"tidy: {source}\n{findings}", flush=True)
    print(f"tidy: {len(commands) - failed} files passed, {failed} files have findings")
    return 1 if failed or not commands else 0


if __name__ == "__main__":
    sys.exit(main())
