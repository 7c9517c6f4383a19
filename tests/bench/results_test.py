import json
import unittest

import made_up
from schema.counting import measured_cell, percentile
from schema.results_schema import CellKey, ResultError, load, load_series
from script_test_case import ScriptTestCase

PUBLISHED = str(made_up.BENCH / "results/tensorrt-llm-a10-published.json")


class ReadingTest(ScriptTestCase):
    def test_one_document_a_list_or_one_a_line(self):
        documents = [made_up.sweep(), made_up.sweep(seed=1)]
        one = made_up.write(self.folder, "one.json", documents[0])
        several = made_up.write(self.folder, "list.json", *documents)
        lines = self.folder / "lines.json"
        lines.write_text("".join(json.dumps(document) + "\n" for document in documents))
        self.assertEqual(load(one), documents[:1])
        self.assertEqual(load(several), documents)
        self.assertEqual(load(str(lines)), documents)

    def test_bad_files_are_named(self):
        def message(text):
            path = self.folder / "bad.json"
            path.write_bytes(text)
            with self.assertRaises(ResultError) as caught:
                load_series([str(path)])
            self.assertIn("bad.json", str(caught.exception))
            return str(caught.exception)

        self.assertIn("empty", message(b""))
        self.assertIn("no JSON", message(b"batch,tokens\n1,2\n"))
        self.assertIn("line 2", message(b'{"a": 1}\n{"b"\n'))
        self.assertIn("utf-8", message(b"\xff\xfe"))
        self.assertIn("schema_version 1, expected 2", message(json.dumps({**made_up.sweep(), "schema_version": 1}).encode()))
        self.assertIn("no cell was measured", message(json.dumps({**made_up.sweep(), "cells": []}).encode()))
        self.assertIn("document 2", message(json.dumps([made_up.sweep(), 3]).encode()))
        with self.assertRaisesRegex(ResultError, "nowhere.json: No such file"):
            load(str(self.folder / "nowhere.json"))

    def test_sweeps_of_one_subject_are_one_series_and_their_median_counts(self):
        documents = [made_up.sweep(slower=slower) for slower in (1.0, 1.2, 3.0)]
        other = made_up.sweep(device_loop="off")
        path = made_up.write(self.folder, "r.json", *documents, other)
        series = load_series([path])
        self.assertEqual([one.subject.label() for one in series], ["quern", "quern, stop check every step"])
        key = CellKey(8, 64, 120)
        latencies = [cell["latency_ms"] for cell in series[0].cells[key]]
        self.assertEqual(len(latencies), 3)
        self.assertEqual(series[0].value(key, "latency_ms"), sorted(latencies)[1])
        self.assertIsNone(series[0].value(key, "host_syncs"))
        self.assertIsNone(series[0].value(CellKey(7, 7, 7), "latency_ms"))

    def test_loads_of_servers_are_checked(self):
        good = made_up.load(4.0)
        self.assertEqual(load(made_up.write(self.folder, "load.json", good)), [good])
        bad = made_up.load(4.0)
        del bad["serve"]["latency_ms"]["p99"]
        with self.assertRaisesRegex(ResultError, "latency_ms: p99 is missing"):
            load(made_up.write(self.folder, "bad.json", bad))

    def test_loops_have_names(self):
        names = {
            "": {},
            "stop check every step": {"device_loop": "off"},
            "no stop checks": {"device_loop": "off", "check_interval": 1000},
            "stop checks 8/4": {"skip_steps": 8, "check_interval": 4},
            "device loop": {"device_loop": "require"},
        }
        for name, settings in names.items():
            path = made_up.write(self.folder, "r.json", made_up.sweep(**settings))
            self.assertEqual(load_series([path])[0].subject.loop_name(), name)

    def test_the_published_table_is_the_whole_one_and_agrees_with_itself(self):
        series = load_series([PUBLISHED])[0]
        self.assertEqual(set(series.cells), set(made_up.TABLE))
        for key, (cell,) in series.cells.items():
            rate = 1e3 * key.batch_size * key.output_len / cell["latency_ms"]
            self.assertAlmostEqual(rate / cell["tokens_per_s"], 1, delta=2e-3, msg=str(key))
        self.assertEqual(series.value(CellKey(32, 128, 120), "tokens_per_s"), 7178.17)


class CountingTest(unittest.TestCase):
    def test_percentiles_are_linear_between_neighbours(self):
        self.assertEqual(percentile([40, 10, 30, 20], 0.5), 25)
        self.assertAlmostEqual(percentile([0, 100], 0.95), 95)
        self.assertEqual(percentile([7], 0.99), 7)
        self.assertEqual(percentile([3, 1, 2], 1.0), 3)

    def test_rates_follow_from_medians(self):
        cell = measured_cell(CellKey(4, 64, 21), [50, 30, 40, 20, 60], [10, 20, 15])
        self.assertEqual(cell["latency_ms"], 40)
        self.assertEqual(cell["latency_p95_ms"], 58)
        self.assertEqual(cell["tokens_per_s"], 2100)
        self.assertEqual(cell["time_to_first_token_ms"], 15)
        self.assertEqual(cell["prefill_tokens_per_s"], 17067)
        self.assertEqual(cell["decode_step_ms"], 1.25)
        self.assertEqual(cell["decode_tokens_per_s"], 3200)
        self.assertEqual(cell["runs"], 5)

    def test_phases_are_told_apart_only_where_they_were_measured(self):
        self.assertNotIn("decode_step_ms", measured_cell(CellKey(1, 8, 8), [1.0]))
        one_token = measured_cell(CellKey(1, 8, 1), [2.0], [2.0])
        self.assertNotIn("decode_tokens_per_s", one_token)
        self.assertNotIn("withheld", one_token)

    def test_a_decode_step_of_no_time_is_withheld(self):
        cell = measured_cell(CellKey(1, 8, 4), [2.0], [2.5])
        self.assertNotIn("decode_step_ms", cell)
        self.assertNotIn("decode_tokens_per_s", cell)
        self.assertIn("4 new tokens took no longer", cell["withheld"]["decode"])


if __name__ == "__main__":
    unittest.main()
