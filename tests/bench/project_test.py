import json
import unittest

import made_up
from project import Card, Cell, card_relative_to, recorded_phase
from schema.results_schema import CellKey, series_of
from script_test_case import ScriptTestCase


def recorded(key, **options):
    series = series_of([made_up.sweep(**options)])[0]
    return series, Cell(key, recorded_phase(series, key, "prefill"), recorded_phase(series, key, "decode"))


class ModelTest(unittest.TestCase):
    def test_on_the_recorded_card_itself_every_cell_is_what_was_measured(self):
        same = Card(made_up.READ_GBPS, made_up.PRODUCT_TFLOPS, slower=1.0, launch_us=0.0)
        for key in made_up.TABLE:
            series, cell = recorded(key)
            measured = series.value(key, "tokens_per_s")
            self.assertAlmostEqual(cell.tokens_per_s(same) / measured, 1, delta=1e-3, msg=str(key))

    def test_batch_one_is_bytes_and_overhead(self):
        key = CellKey(1, 64, 120)
        _, cell = recorded(key)
        card = Card(gbps=600, tflops=100, slower=2.0, launch_us=1.0)
        work = made_up.work(key)
        decode_ms = work["decode_bytes"] / 600e6 + made_up.OVERHEAD_US / 1e3 + made_up.LAUNCHES * 1e-3
        self.assertAlmostEqual(cell.decode.on(card), decode_ms, delta=1e-3)
        prefill_ms = work["prefill_bytes"] / 600e6 + made_up.PREFILL_OVERHEAD_MS + made_up.LAUNCHES * 1e-3
        self.assertAlmostEqual(cell.prefill.on(card), prefill_ms, delta=1e-3)
        expected = 1e3 * 120 / (prefill_ms + 119 * decode_ms)
        self.assertAlmostEqual(cell.tokens_per_s(card) / expected, 1, delta=1e-3)

    def test_a_large_prefill_is_bound_by_products_and_more_sequences_by_instructions(self):
        key = CellKey(64, 128, 20)
        _, cell = recorded(key)
        card = Card(gbps=600, tflops=100, slower=2.0, launch_us=0.0)
        flops_ms = made_up.work(key)["prefill_flops"] / 100e9
        self.assertGreater(flops_ms, made_up.work(key)["prefill_bytes"] / 600e6)
        self.assertAlmostEqual(cell.prefill.on(card), flops_ms + made_up.PREFILL_OVERHEAD_MS, delta=1e-2)
        excess_ms = 63 * made_up.EXCESS_US / 1e3
        floor_ms = made_up.work(key)["decode_bytes"] / 600e6
        self.assertAlmostEqual(cell.decode.on(card), floor_ms + made_up.OVERHEAD_US / 1e3 + 2 * excess_ms, delta=1e-2)

    def test_overhead_of_batches_is_not_that_of_one_sequence_in_a_single_launch(self):
        document = made_up.sweep()
        for cell in document["cells"]:
            if cell["batch_size"] == 1:
                cell["launches_per_step"] = 4
        series = series_of([document])[0]
        least, many = CellKey(8, 64, 120), CellKey(64, 64, 120)
        self.assertEqual(recorded_phase(series, least, "decode").excess_ms, 0)
        expected = recorded(least)[1].decode
        self.assertAlmostEqual(recorded_phase(series, many, "decode").overhead_ms, expected.overhead_ms + expected.excess_ms)
        self.assertEqual(recorded_phase(series, CellKey(1, 64, 120), "decode").launches, 4)

    def test_only_launches_that_were_dependent_ones_cost_more(self):
        key = made_up.TABLE[0]

        def dependent(document):
            return recorded_phase(series_of([document])[0], key, "decode").dependent_launches

        def telling(count):
            document = made_up.sweep()
            for cell in document["cells"]:
                cell["dependent_launches_per_step"] = count
            return document

        self.assertEqual(dependent(telling(120)), 120)
        self.assertEqual(dependent(telling(0)), 0, "code for older GPUs, on a new one")
        self.assertEqual(dependent(made_up.sweep()), made_up.LAUNCHES, "where the sweep does not tell, by the GPU")
        self.assertEqual(dependent(made_up.sweep(gpu={**made_up.H200, "compute_capability": "8.0"})), 0)
        self.assertGreater(card_relative_to(made_up.H200, 600, 100).launch_us, 1.0)
        self.assertAlmostEqual(card_relative_to(made_up.H200, 600, 100).slower, 132 * 1980 / (72 * 1695))


class ProjectTest(ScriptTestCase):
    def project(self, document, *options):
        return self.run_script("project.py", made_up.write(self.folder, "sweep.json", document), *options)

    def test_the_whole_table_is_projected_and_labelled(self):
        out = self.expect_done(self.project(made_up.sweep()))
        self.assertTrue(out.startswith("PROJECTION to an A10, not a measurement"), out)
        self.assertEqual(sum(line.startswith("|") for line in out.splitlines()), 22)
        for part in ("600 GB/s", "530 GB/s", "11932", "without dependent launch", "100 TFLOP/s"):
            self.assertIn(part, out)

    def test_json_says_so_too(self):
        found = json.loads(self.expect_done(self.project(made_up.sweep(), "--json", "--gbps", "600,300")))
        self.assertIn("not a measurement", found["what"])
        self.assertEqual(len(found["assumptions"]), 4)
        self.assertEqual(len(found["cells"]), 20)
        first = found["cells"][0]
        self.assertEqual(first["published_tokens_per_s"], 386.56)
        rates = first["projected_tokens_per_s"]
        self.assertGreater(rates["600"], rates["300"])
        self.assertLess(rates["600"], 2 * rates["300"])

    def test_what_cannot_be_projected_is_named(self):
        self.expect_error(self.project(made_up.sweep(gpu={**made_up.H200, "name": "NVIDIA A10"})), "report.py")
        self.expect_error(self.project(made_up.sweep(model="llama_7b")), "gpt_350m in float16")
        self.expect_error(self.project(made_up.sweep(program="transformers eager")), "sweep of quern's")
        self.expect_error(self.project(made_up.document([made_up.cell(made_up.TABLE[0])])), "batch 8, 64,20")
        missing = {key: value for key, value in made_up.H200.items() if key != "max_sm_clock_mhz"}
        self.expect_error(self.project(made_up.sweep(gpu=missing)), "max_sm_clock_mhz")
        for options in (["--gbps", "0"], ["--gbps", "fast"], ["--tflops", "1,2"]):
            self.expect_error(self.project(made_up.sweep(), *options), options[0], code=2)


if __name__ == "__main__":
    unittest.main()
