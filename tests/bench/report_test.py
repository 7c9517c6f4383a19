import unittest

import made_up
from report import geometric_mean, ratio
from script_test_case import ScriptTestCase


class ReportTest(ScriptTestCase):
    def file(self, name, *documents):
        return made_up.write(self.folder, name, *documents)

    def test_ratios_of_each_cell_and_peer(self):
        ours = self.file("ours.json", made_up.sweep())
        eager = self.file("eager.json", made_up.sweep(slower=4.0, program="transformers eager"))
        partial = made_up.sweep(slower=2.0, program="llama.cpp")
        partial["cells"] = partial["cells"][:5]
        out = self.expect_done(self.run_script("report.py", ours, eager, self.file("partial.json", partial)))
        lines = [line for line in out.splitlines() if line.startswith("|")]
        self.assertEqual(len(lines), 2 + 20 + 1)
        cells = [cell.strip() for cell in lines[2].split("|")[1:-1]]
        self.assertEqual(cells[:2], ["1", "64,20"])
        self.assertEqual((cells[4], cells[6]), ("4.00", "2.00"))
        cells = [cell.strip() for cell in lines[20].split("|")[1:-1]]
        self.assertEqual((cells[4], cells[5], cells[6]), ("4.00", "", ""))
        self.assertIn("geometric mean", lines[-1])

    def test_less_is_better_for_times(self):
        self.assertEqual(ratio(10, 40, False), 4)
        self.assertEqual(ratio(10, 40, True), 0.25)
        self.assertIsNone(ratio(None, 40, True))
        self.assertIsNone(ratio(10, 0, True))
        self.assertAlmostEqual(geometric_mean([2, 8]), 4)
        ours = self.file("ours.json", made_up.sweep())
        theirs = self.file("theirs.json", made_up.sweep(slower=4.0, program="peer"))
        out = self.expect_done(self.run_script("report.py", ours, theirs, "--metric", "latency_ms"))
        self.assertIn("4.00", out)
        self.assertNotIn("0.25", out)

    def test_another_card_is_pointed_out(self):
        ours = self.file("ours.json", made_up.sweep())
        published = str(made_up.BENCH / "results/tensorrt-llm-a10-published.json")
        out = self.expect_done(self.run_script("report.py", ours, published))
        self.assertIn("NOT THE SAME DEVICE: TensorRT-LLM (published) has NVIDIA A10, ours NVIDIA H200", out)

    def test_nothing_in_common_is_an_error(self):
        ours = self.file("ours.json", made_up.sweep())
        self.expect_error(
            self.run_script("report.py", ours, self.file("other.json", made_up.sweep(model="llama_7b"))),
            "no cell in common", "llama_7b",
        )
        self.expect_error(self.run_script("report.py", ours, ours, "--metric", "speed"), "speed", code=2)


if __name__ == "__main__":
    unittest.main()
