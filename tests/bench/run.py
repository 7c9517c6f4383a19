#!/usr/bin/env python3
"""run.py MODULE|FILE: runs the tests of a module of this folder, or of FILE. Exit codes: 0 passed, 1 failed, 77 all skipped."""

import pathlib
import sys
import unittest

file = pathlib.Path(__file__).resolve().parent / sys.argv[1]
sys.path.insert(0, str(file.parent))
sys.dont_write_bytecode = True  # the checkout may be read-only

try:
    suite = unittest.defaultTestLoader.loadTestsFromName(file.stem)
except unittest.SkipTest as reason:
    print(f"SKIPPED: {reason}")  # what tests/run.sh looks for
    sys.exit(77)
result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
if not result.wasSuccessful() or result.testsRun == 0:
    sys.exit(1)
if len(result.skipped) == result.testsRun:
    print(f"SKIPPED: {'; '.join(sorted({reason for _, reason in result.skipped}))}")
    sys.exit(77)
