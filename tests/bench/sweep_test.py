"""A tiny sweep of the program itself, from its JSON to plots and checks. QUERN_PROGRAM names the program."""

import json
import os
import pathlib
import subprocess
import unittest

import made_up
from schema.counting import measured_cell
from schema.results_schema import cell_key, validate
from script_test_case import ScriptTestCase

PROGRAM = os.environ.get("QUERN_PROGRAM", "")
MODEL = str(made_up.BENCH.parent / "examples/models/tale-llama")


@unittest.skipUnless(pathlib.Path(PROGRAM).is_file(), "QUERN_PROGRAM names no program")
class TinySweepTest(ScriptTestCase):
    def quern(self, *arguments):
        done = subprocess.run([PROGRAM, *arguments, "--json"], capture_output=True, text=True)
        return json.loads(self.expect_done(done))

    def bench(self, *arguments):
        return self.quern("bench", "-m", MODEL, "--device", "cpu", *arguments)

    def test_the_schema_holds_and_the_counting_is_the_peers(self):
        document = self.bench(
            "--batch-size", "1;2;4", "--input-output-len", "8,6;16,1;3000,9", "--runs", "4", "--warm-up", "1"
        )
        validate(document, "quern bench")
        self.assertEqual(sum("skipped" in cell for cell in document["cells"]), 3)
        for cell in document["cells"][:6]:
            counted = measured_cell(cell_key(cell), cell["latencies_ms"], cell["first_tokens_ms"])
            self.assertEqual("decode_step_ms" in cell, "decode_step_ms" in counted)
            if cell.get("decode_step_ms", 0) < 0.05:
                counted.pop("decode_tokens_per_s", None)  # the samples' last digit moves it
            for name, value in counted.items():
                if isinstance(value, (int, float)):
                    self.assertAlmostEqual(cell[name], value, delta=max(5e-3 * abs(value), 2e-3), msg=name)

    def test_no_cell_or_a_stress_run_is_a_document_too(self):
        validate(self.bench("--input-output-len", "3000,9"), "nothing had room")
        document = self.bench(
            "--batch-size", "2", "--input-output-len", "8,4", "--stress", "0.3", "--rate", "30", "--warm-up", "0"
        )
        validate(document, "stress")
        self.assertIn("stress", document)

    def test_a_load_of_a_server_is_a_document_too(self):
        serve = [PROGRAM, "serve", "-m", MODEL, "--device", "cpu", "--port", "0", "--json", "--quiet"]
        with subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
            ready = server.stdout.readline()
            if not ready and "without Boost" in server.stderr.read():
                self.skipTest("the program was built without a server")
            try:
                document = self.quern(
                    "bench", "serve", "--url", json.loads(ready)["url"], "--rate", "50", "--requests", "5",
                    "--input-len", "1-9", "--output-len", "2-4", "--slo-first-token", "5000",
                )
            finally:
                server.terminate()
        validate(document, "quern bench serve")
        self.assertEqual(document["serve"]["good"], 5)

    def test_a_sweep_passes_through_all_scripts(self):
        done = self.run_script(
            "record.py", "--rehearse", "--quern", PROGRAM, "--only", "gpt_350m,profiles", "--output", str(self.folder)
        )
        self.expect_done(done)
        sweeps, profiles = str(self.folder / "gpt_350m.json"), str(self.folder / "profiles.json")
        self.assertEqual(json.loads((self.folder / "checks.json").read_text()), {"failed": []})
        self.expect_done(self.run_script("report.py", sweeps, sweeps))
        self.expect_done(self.run_script("guard.py", sweeps, sweeps))
        self.expect_error(self.run_script("project.py", sweeps), "gpt_350m in float16")
        plotted = self.run_script("plot.py", sweeps, profiles, "--output", str(self.folder / "plots"))
        if "needs matplotlib" in plotted.stderr:
            self.skipTest(plotted.stderr.strip())
        names = {pathlib.Path(path).name for path in self.expect_done(plotted).split()}
        for what in ("throughput", "lengths", "floor", "breakdown"):
            self.assertLessEqual({f"tale-llama-{what}.png", f"tale-llama-{what}.svg"}, names)

    def test_a_step_that_fails_is_told_and_the_rest_goes_on(self):
        program = self.folder / "quern"
        program.write_text(
            f"#!/bin/sh\ncase \"$*\" in *--profile*) echo 'error: no room' >&2; exit 1;; esac\nexec {PROGRAM} \"$@\"\n"
        )
        program.chmod(0o755)
        done = self.run_script(
            "record.py", "--rehearse", "--quern", str(program), "--only", "profiles,gpt_350m",
            "--output", str(self.folder / "out"),
        )
        self.expect_done(done, 1)
        failed = json.loads((self.folder / "out/checks.json").read_text())["failed"]
        self.assertEqual(failed[0], "profile of gpt_350m: exit code 1: error: no room")
        self.assertTrue((self.folder / "out/gpt_350m.json").exists())

    def test_recording_refuses_bad_options(self):
        output = ["--output", str(self.folder)]
        self.expect_error(self.run_script("record.py", *output, "--quern", "/none"), "/none")
        self.expect_error(self.run_script("record.py", *output, "--only", "speed"), "speed", "stop_checks", code=2)


if __name__ == "__main__":
    unittest.main()
