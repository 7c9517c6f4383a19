"""Runs the scripts of bench/ as their users do."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from made_up import BENCH


class ScriptTestCase(unittest.TestCase):
    """Tests with a folder of their own."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_script(self, script: str, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess:
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        if path is not None:
            environment["PATH"] = path
        return subprocess.run(
            [sys.executable, str(BENCH / script), *arguments], capture_output=True, text=True, env=environment
        )

    def expect_done(self, done: subprocess.CompletedProcess, code: int = 0) -> str:
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout

    def expect_error(self, done: subprocess.CompletedProcess, *parts: str, code: int = 1) -> None:
        """One line that says error and has all parts, and no traceback."""
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        last = done.stderr.strip().splitlines()[-1]
        self.assertIn("error: ", last)
        self.assertNotIn("Traceback", done.stderr)
        for part in parts:
            self.assertIn(part, last)
