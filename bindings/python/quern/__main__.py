"""``python -m quern run …`` is the program: it replaces this process."""

import os
import pathlib
import shutil
import sys


def find_program() -> str:
    """The program of this package, else QUERN_PROGRAM, else ``quern`` in PATH."""
    inside = pathlib.Path(__file__).resolve().parent / "bin" / "quern"
    if inside.exists():
        return str(inside)
    program = os.environ.get("QUERN_PROGRAM") or shutil.which("quern")
    if program is None or os.path.realpath(program) == os.path.realpath(sys.argv[0]):
        sys.exit(f"error: no program quern: looked for {inside}, QUERN_PROGRAM and quern in PATH")
    return program


def main() -> None:
    program = find_program()
    sys.stdout.flush()
    os.execv(program, ["quern", *sys.argv[1:]])


if __name__ == "__main__":
    main()
