#!/usr/bin/env python3
"""Prints which tests of a JUnit report failed, each with the end of what it printed.

    launch/failures.py REPORT.xml
"""

import sys
import xml.etree.ElementTree as xml

LAST_LINES = 25


def main(report):
    for case in xml.parse(report).getroot().iter("testcase"):
        if case.find("failure") is None:
            continue
        print(f"failed: {case.get('name')}")
        for line in (case.findtext("system-out") or "").rstrip().splitlines()[-LAST_LINES:]:
            print(f"    {line}")


main(sys.argv[1])
