"""The package's annotations are whole, and a type checker of a program that uses the package finds its mistakes."""

import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from case import ROOT

PROGRAM = """
import quern
engine = quern.Engine("model", max_seqs=4)
output = engine.generate("Once", quern.SamplingParams(top_p=0.9))
text: str = output.text
texts: list[str] = [each.outputs[0].text for each in engine.generate(["Once", [1, 2]])]
first: float = engine.logits([1, 2])[0, 0].item()
async def stream() -> str:
    return "".join([update.text async for update in engine.astream("Once")])
"""


def version_of_mypy():
    if importlib.util.find_spec("mypy") is None:
        return (0, 0)
    ran = subprocess.run([sys.executable, "-m", "mypy", "--version"], capture_output=True, text=True, check=True)
    return tuple(int(part) for part in ran.stdout.split()[1].split(".")[:2])


@unittest.skipUnless(version_of_mypy() >= (1, 5), "mypy 1.5 or newer is not installed")
class TypesTest(unittest.TestCase):
    def check(self, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", folder, *arguments]
            environment = {**os.environ, "MYPYPATH": str(ROOT / "bindings" / "python")}
            return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)

    def test_the_package_and_its_use(self):
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder) / "program.py"
            program.write_text(PROGRAM, encoding="utf-8")
            ran = self.check("-p", "quern")
            self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
            ran = self.check(str(program))
            self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
            program.write_text(PROGRAM + "number: int = output.text\nquern.SamplingParams(max_new_token=3)\n", encoding="utf-8")
            ran = self.check(str(program))
            self.assertIn("Found 2 errors", ran.stdout)


if __name__ == "__main__":
    unittest.main()
