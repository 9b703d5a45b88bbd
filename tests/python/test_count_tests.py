"""The closing line of tools/test: nothing that failed may hide in it."""

import json
import subprocess
import sys

import pytest

GTEST = """<?xml version="1.0"?><testsuites><testsuite name="S">
<testcase name="a" status="run" result="completed" classname="S"/>
<testcase name="b" status="run" result="completed" classname="S">{inner}</testcase>
<testcase name="c" status="notrun" result="suppressed" classname="S"/>
</testsuite></testsuites>"""
PYTEST = """<testsuites><testsuite><testcase classname="t" name="x"/></testsuite></testsuites>"""


@pytest.fixture
def count(repo, tmp_path):
    """Runs the script on one GoogleTest target; returns (exit status, lines)."""

    def run(inner="", result="PASSED", built=True, bazel_status=0, pytest_status=0,
            gtest=GTEST, pytest_xml=PYTEST):
        xml = tmp_path / "test.xml"
        xml.write_text(gtest.format(inner=inner))
        events = [{"id": {"targetConfigured": {"label": "//a:t"}}, "configured": {"testSize": "S"}}]
        if built:
            output = [{"name": "test.xml", "uri": f"file://{xml}"}]
            events.append({"id": {"testResult": {"label": "//a:t"}},
                           "testResult": {"status": result, "testActionOutput": output}})
        (tmp_path / "events.json").write_text("\n".join(map(json.dumps, events)))
        (tmp_path / "pytest.xml").write_text(pytest_xml)
        done = subprocess.run(
            [sys.executable, repo / "tools/count_tests.py", f"--bazel-status={bazel_status}",
             f"--pytest-status={pytest_status}", tmp_path / "events.json", tmp_path / "pytest.xml"],
            capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines()

    return run


def test_cases_of_both_kinds_are_added_up(count):
    assert count() == (0, ["3 passed, 0 failed"])


def test_a_failed_case_is_named(count):
    status, lines = count(inner='<failure message="x"/>', result="FAILED", bazel_status=3)
    assert (status, lines[-1]) == (1, "2 passed, 1 failed")
    assert lines[0] == "failed: //a:t S.b"


def test_a_skipped_case_is_listed_with_its_reason_and_does_not_pass(count):
    status, lines = count(inner='<skipped message="a/b_test.cc:7&#x0A;no AMX here"/>')
    assert (status, lines) == (0, ["skipped: //a:t S.b: no AMX here", "2 passed, 0 failed"])


@pytest.mark.parametrize("arguments, failure", [
    (dict(result="TIMEOUT", bazel_status=3), "//a:t (timeout)"),
    (dict(built=False, bazel_status=1), "//a:t (did not build)"),
    (dict(bazel_status=1), "bazel test (exit status 1)"),
    (dict(pytest_status=2), "pytest (exit status 2)"),
    (dict(gtest="<testsuites/>"), "//a:t (has no test case)"),
])
def test_what_goes_wrong_outside_a_case_counts_as_a_failure(count, arguments, failure):
    status, lines = count(**arguments)
    assert status == 1
    assert f"failed: {failure}" in lines
    assert lines[-1].endswith(" 1 failed")


def test_a_run_without_cases_fails(count):
    empty = "<testsuites/>"
    status, lines = count(gtest=empty, pytest_xml=empty)
    assert status == 1
    assert lines[-1] == "0 passed, 1 failed"
