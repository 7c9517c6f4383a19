#!/usr/bin/env python3
"""Replays small inputs that users of other engines reported as bugs: check.py PATH_TO_QUERN [CASE ...]

Each folder here has a README of two lines: `cmd: ` (run inside the folder) and `expected: ` (the JSON fields that the answer
must have; values of transformers or tokenizers). Prints a line for each case that differs and ends with status 1 if any does.
"""
import json
import os
import pathlib
import subprocess
import sys

TIMEOUT_S = 60


def read_case(folder):
    command, expected = (folder / "README").read_text().splitlines()[:2]
    return command.removeprefix("cmd: "), json.loads(expected.removeprefix("expected: "))


def answer(folder, command, expected, program):
    """The expected fields as the program gives them, or how it failed."""
    environment = dict(os.environ, PATH=f"{program.parent}:{os.environ['PATH']}")
    try:
        run = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, env=environment, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return {"error": f"no answer in {TIMEOUT_S} s"}
    if run.returncode:
        return {"status": run.returncode, "error": run.stderr.decode(errors="replace").strip()[-300:]}
    found = json.loads(run.stdout)
    results = found.get("results", [found])
    if "answers_equal" in expected:
        return {"answers_equal": results[0]["output_ids"] == results[1]["output_ids"]}
    return {key: results[0].get(key) for key in expected}


def agrees(expected, found):
    if isinstance(expected, dict) and "one_of" in expected:
        return found in expected["one_of"]
    if isinstance(expected, list):
        return isinstance(found, list) and len(expected) == len(found) and all(map(agrees, expected, found))
    return expected == found


def main():
    program, names = pathlib.Path(sys.argv[1]).resolve(), set(sys.argv[2:])
    folders = [path.parent for path in sorted(pathlib.Path(__file__).parent.glob("*/README"))
               if not names or path.parent.name in names]
    num_bad = 0
    for folder in folders:
        command, expected = read_case(folder)
        found = answer(folder, command, expected, program)
        if not all(key in found and agrees(value, found[key]) for key, value in expected.items()):
            num_bad += 1
            print(f"{folder.name}: expected {json.dumps(expected)[:160]}, got {json.dumps(found)[:240]}")
    print(f"{len(folders) - num_bad} of {len(folders)} cases agree")
    return 1 if num_bad or not folders else 0


sys.exit(main())
