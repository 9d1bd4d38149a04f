#!/usr/bin/env python3
"""Counts the tests of a JUnit report that ctest wrote, and says which failed, each with the end of what it printed.

    launch/test_counts.py REPORT.xml      first line: how many there were, failed and were skipped

Where a process ran many tests of GoogleTest's, those are what is counted.
"""

import re
import sys
import xml.etree.ElementTree as xml

LAST_LINES = 25
RAN = re.compile(r"^\[=+\] (\d+) tests? from .* ran\.", re.MULTILINE)
OF_THEM = r"^\[ *{} *\] (\d+) tests?, listed below"


def counts(case, printed):
    """Tests, failed ones and skipped ones of a process."""
    failed = case.find("failure") is not None
    ran = RAN.search(printed)
    if not ran:  # a script, or a process that never came to the end of its tests
        return 1, int(failed), int(case.get("status") in ("notrun", "disabled"))
    failures, skipped = (re.search(OF_THEM.format(word), printed, re.MULTILINE) for word in ("FAILED", "SKIPPED"))
    found = int(failures[1]) if failures else 0
    return int(ran[1]), max(found, int(failed)), int(skipped[1]) if skipped else 0


def main(report):
    total, said = [0, 0, 0], []
    for case in xml.parse(report).getroot().iter("testcase"):
        printed = case.findtext("system-out") or ""
        found = counts(case, printed)
        total = [before + more for before, more in zip(total, found, strict=True)]
        if case.find("failure") is not None:
            said.append(f"failed: {case.get('name')}")
            said += [f"    {line}" for line in printed.rstrip().splitlines()[-LAST_LINES:]]
    print(*total)
    print("\n".join(said))


main(sys.argv[1])
