#!/usr/bin/python3
"""Adds up the test cases of one run of tools/test and prints "N passed, N failed" as the last line.

Counted are the cases in the test.xml files that Bazel's build events name (so those of this run's
targets, cached ones included, and no others) and in pytest's JUnit file. A target that did not
build, crashed or timed out counts as one failed case, as does a build that failed elsewhere.
"""

import argparse
import json
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree


class Count:
    """Cases by outcome."""

    def __init__(self):
        self.passed = 0
        self.failures = []  # Names, with reasons where there are any.
        self.skips = []

    def add_xml(self, path, source):
        """Adds the cases of a JUnit file; returns how many there were, and how many failed."""
        cases = list(ElementTree.parse(path).getroot().iter("testcase"))
        failed_before = len(self.failures)
        ran = 0
        for case in cases:
            name = f"{source} {case.get('classname', '')}.{case.get('name', '')}"
            skipped = case.find("skipped")
            if case.get("status") == "notrun" and skipped is None:
                continue  # Disabled or in another shard.
            ran += 1
            if case.find("failure") is not None or case.find("error") is not None:
                self.failures.append(name)
            elif skipped is not None or case.get("result") == "skipped":
                reason = (skipped.get("message") or "") if skipped is not None else ""
                self.skips.append(f"{name}: {first_line(reason) or 'no reason given'}")
            else:
                self.passed += 1
        return ran, len(self.failures) - failed_before


def first_line(text):
    """The first line that says something; GoogleTest puts file and line before it."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return next((line for line in lines if ".cc:" not in line), lines[0] if lines else "")


def read_events(path):
    """Yields (label, status, path of test.xml) of each test run, and (label, None, None) of each
    test target that did not build."""
    unbuilt = set()
    with open(path, encoding="utf-8") as file:
        for line in file:
            event = json.loads(line)
            if "testSize" in event.get("configured", {}):
                unbuilt.add(event["id"]["targetConfigured"]["label"])
            if "testResult" not in event["id"] or "testResult" not in event:
                continue
            label = event["id"]["testResult"]["label"]
            unbuilt.discard(label)
            result = event["testResult"]
            uris = [o["uri"] for o in result.get("testActionOutput", []) if o["name"] == "test.xml"]
            xml = urllib.parse.unquote(urllib.parse.urlparse(uris[0]).path) if uris else None
            yield label, result["status"], xml
    for label in sorted(unbuilt):
        yield label, None, None


def count_bazel(count, events_path, status):
    """Adds the cases of Bazel's targets."""
    failed_before = len(count.failures)
    try:
        runs = list(read_events(events_path))
    except OSError:
        runs = []
    for label, result, xml in runs:
        if result is None:
            count.failures.append(f"{label} (did not build)")
            continue
        try:
            ran, failed = count.add_xml(xml, label) if xml else (0, 0)
        except (OSError, ElementTree.ParseError):
            ran, failed = 0, 0
        if result not in ("PASSED", "FLAKY") and failed == 0:
            count.failures.append(f"{label} ({result.lower()})")
        elif ran == 0 and failed == 0:
            count.failures.append(f"{label} (has no test case)")
    if status != 0 and len(count.failures) == failed_before:
        count.failures.append(f"bazel test (exit status {status})")


def count_pytest(count, xml_path, status):
    """Adds the cases of pytest."""
    failed_before = len(count.failures)
    try:
        count.add_xml(xml_path, "pytest")
    except (OSError, ElementTree.ParseError):
        pass
    if status != 0 and len(count.failures) == failed_before:
        count.failures.append(f"pytest (exit status {status})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bazel-status", type=int, required=True)
    parser.add_argument("--pytest-status", type=int, required=True)
    parser.add_argument("events", help="Bazel's build events as JSON")
    parser.add_argument("pytest_xml", help="pytest's JUnit file")
    arguments = parser.parse_args()
    count = Count()
    count_bazel(count, arguments.events, arguments.bazel_status)
    count_pytest(count, arguments.pytest_xml, arguments.pytest_status)
    for name in count.skips:
        print(f"skipped: {name}")
    for name in count.failures:
        print(f"failed: {name}")
    print(f"{count.passed} passed, {len(count.failures)} failed", flush=True)
    return 0 if count.passed and not count.failures else 1


if __name__ == "__main__":
    sys.exit(main())
