import argparse
import json
import unittest

import made_up
import sweep
from llama_cpp_bench import cell_of_batched, cell_of_bench
from schema.results_schema import CellKey, ResultError, validate
from script_test_case import ScriptTestCase
from transformers_bench import parse_arguments, shape_settings
from vllm_bench import cell_of_latencies

KEY = CellKey(1, 64, 20)
BENCH_OUTPUT = json.dumps(
    [
        {"n_prompt": 64, "n_gen": 0, "avg_ns": 5000000, "samples_ns": [4000000, 5000000, 6000000]},
        {"n_prompt": 64, "n_gen": 20, "avg_ns": 100000000, "samples_ns": [100000000, 99000000, 101000000]},
    ]
)
BATCHED_OUTPUT = "main: n_kv_max = 700\n" + json.dumps(
    {"pp": 64, "tg": 20, "pl": 8, "t_pp": 0.02, "speed_pp": 25600.0, "t_tg": 0.18, "speed_tg": 888.9, "t": 0.2}
)


def script(folder, name, text):
    """An executable that prints `text`."""
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    path.chmod(0o755)


class FakeEngine:
    """Takes 10 ms for the first token and 2 ms for each after it; the first runs of a kind ten times that."""

    def __init__(self, slow_runs=0):
        self.calls = []
        self._slow_runs = slow_runs

    def run_once(self, key, output_len):
        self.calls.append((key, output_len))
        slow = sum(call == (key, output_len) for call in self.calls) <= self._slow_runs
        return (10 + 2 * (output_len - 1)) * (10 if slow else 1)


class SweepTest(unittest.TestCase):
    def test_counts_as_quern_does_and_warm_up_runs_do_not_count(self):
        engine = FakeEngine(slow_runs=2)
        cell = sweep.measure(CellKey(4, 64, 21), engine.run_once, 2, 5, sweep.Deadline(None))
        self.assertEqual(cell["latencies_ms"], [50] * 5)
        self.assertEqual(cell["first_tokens_ms"], [10] * 5)
        self.assertEqual(cell["tokens_per_s"], 4 * 21 / 0.050)
        self.assertEqual(cell["prefill_tokens_per_s"], 4 * 64 / 0.010)
        self.assertEqual(cell["decode_step_ms"], 2)
        self.assertEqual([output_len for _, output_len in engine.calls], [1] * 7 + [21] * 7)

    def test_one_new_token_is_measured_once(self):
        engine = FakeEngine()
        cell = sweep.measure(CellKey(2, 8, 1), engine.run_once, 1, 3, sweep.Deadline(None))
        self.assertEqual(len(engine.calls), 4)
        self.assertEqual(cell["latencies_ms"], cell["first_tokens_ms"])
        self.assertNotIn("decode_step_ms", cell)

    def test_a_cell_beyond_the_time_limit_is_skipped(self):
        cell = sweep.measure(KEY, FakeEngine().run_once, 1, 3, sweep.Deadline(0))
        self.assertEqual(cell["skipped"], "no time left")

    def test_documents_are_checked(self):
        arguments = argparse.Namespace(warm_up=1, runs=3)
        engine = {"model": "gpt_350m", "weights": "random", "device": "cuda:0", "dtype": "float16"}
        cells = [sweep.measure(KEY, FakeEngine().run_once, 1, 3, sweep.Deadline(None)), sweep.skipped_cell(KEY, "why")]
        document = sweep.document("peer", {"version": "1"}, engine, arguments, cells)
        validate(document, "test")
        with self.assertRaises(ResultError):
            sweep.document("peer", {"version": "1"}, {**engine, "dtype": "fp16"}, arguments, cells)

    def test_cells_are_in_querns_order(self):
        arguments = parse_arguments(
            ["--shape", "gpt_350m", "--batch-size", "1;8", "--input-output-len", "64,20;128,20"]
        )
        self.assertEqual(
            sweep.cells_of(arguments), [(1, 64, 20), (8, 64, 20), (1, 128, 20), (8, 128, 20)]
        )

    def test_bad_lists_are_refused(self):
        for text in ("", ";", "1;", "0", "-1", "1,2", "a", "1.5"):
            with self.assertRaises(argparse.ArgumentTypeError, msg=text):
                sweep.batch_sizes(text)
        for text in ("", "64", "64,", ",20", "64,0", "64,20;", "64,20,1", "a,b"):
            with self.assertRaises(argparse.ArgumentTypeError, msg=text):
                sweep.lengths(text)


class ShapesTest(unittest.TestCase):
    def test_shapes_are_those_of_quern(self):
        self.assertEqual(shape_settings("gpt_350m")["n_layer"], 24)
        with self.assertRaisesRegex(ResultError, "gpt_351m.*gpt_350m"):
            shape_settings("gpt_351m")
        with self.assertRaisesRegex(ResultError, "first-generation Qwen"):
            shape_settings("qwen_7b_chat")


class AdapterTest(ScriptTestCase):
    def test_llama_bench(self):
        cell = cell_of_bench(KEY, BENCH_OUTPUT)
        self.assertEqual(cell["latency_ms"], 100)
        self.assertEqual(cell["tokens_per_s"], 200)
        self.assertEqual(cell["time_to_first_token_ms"], 5)
        self.assertEqual(cell["decode_step_ms"], 5)

    def test_llama_batched_bench(self):
        cell = cell_of_batched(CellKey(8, 64, 20), BATCHED_OUTPUT)
        self.assertEqual(cell["tokens_per_s"], 800)
        self.assertEqual(cell["time_to_first_token_ms"], 20)

    def test_vllm(self):
        cell = cell_of_latencies(KEY, json.dumps({"avg_latency": 0.1, "latencies": [0.1, 0.12, 0.08]}))
        self.assertEqual(cell["tokens_per_s"], 200)
        self.assertEqual(cell["latencies_ms"], [100, 120, 80])
        self.assertNotIn("decode_step_ms", cell)

    def test_another_output_is_named(self):
        for parse in (cell_of_bench, cell_of_batched, cell_of_latencies):
            for text in ("", "[]", "{}", "no json", '[{"n_prompt": 1}]'):
                with self.assertRaisesRegex(ResultError, "unexpected output", msg=f"{parse} {text}"):
                    parse(KEY, text)

    def test_llama_cpp_from_program_to_document(self):
        script(self.folder, "llama-bench", BENCH_OUTPUT)
        script(self.folder, "llama-batched-bench", BATCHED_OUTPUT)
        model = self.folder / "model.gguf"
        model.touch()
        options = ["--model", str(model), "--name", "gpt_350m", "--programs", str(self.folder), "--gpu", "NVIDIA H200"]
        cells = ["--batch-size", "1;8;16", "--input-output-len", "64,20"]
        done = self.run_script("peers/llama_cpp_bench.py", *options, *cells)
        document = json.loads(self.expect_done(done))
        self.assertEqual(document["program"], "llama.cpp")
        self.assertEqual([cell.get("tokens_per_s") for cell in document["cells"]], [200, 800, None])
        self.assertIn("unexpected output", document["cells"][2]["skipped"])
        self.expect_error(
            self.run_script("peers/llama_cpp_bench.py", *options[:1], "none.gguf", *options[2:]), "none.gguf"
        )

    def test_vllm_from_program_to_document(self):
        program = self.folder / "vllm"
        program.write_text(
            '#!/bin/sh\nfor last; do :; done\nwhile [ "$1" != --output-json ]; do shift; done\n'
            """echo '{"latencies": [0.1, 0.1, 0.1]}' > "$2"\n"""
        )
        program.chmod(0o755)
        options = ["--model", "M", "--name", "gpt_350m", "--programs", str(self.folder)]
        done = self.run_script("peers/vllm_bench.py", *options, "--input-output-len", "64,20")
        self.assertEqual(json.loads(self.expect_done(done))["cells"][0]["tokens_per_s"], 200)
        program.write_text("#!/bin/sh\necho out of memory >&2\nexit 1\n")
        done = self.run_script("peers/vllm_bench.py", *options)
        skipped = json.loads(self.expect_done(done))["cells"][0]["skipped"]
        self.assertEqual(skipped, "vllm ended with 1: out of memory")

    def test_a_program_that_is_not_there_is_named(self):
        options = ["--model", "M", "--name", "N"]
        path = str(self.folder)
        for name, missing in (("llama_cpp_bench.py", "llama-bench: not found"), ("vllm_bench.py", "vllm: not found")):
            self.expect_error(self.run_script(f"peers/{name}", *options, path=path), missing)

    def test_transformers_says_what_is_wrong_before_any_work(self):
        name = "peers/transformers_bench.py"
        self.expect_error(self.run_script(name, "--shape", "gpt_351m"), "gpt_351m", "gpt_350m")
        self.expect_error(self.run_script(name, "--shape", "gpt_350m", "-b", "0"), "--batch-size", code=2)
        self.expect_error(self.run_script(name), "--shape", code=2)


class TransformersTest(ScriptTestCase):
    def test_a_tiny_sweep(self):
        try:
            import torch  # noqa: F401
            import transformers  # noqa: F401
        except ImportError as error:
            self.skipTest(f"needs torch and transformers: {error}")
        options = ["--shape", "gpt_350m", "--layers", "1", "--device", "cpu", "--dtype", "float32", "--mode", "eager"]
        cells = ["--batch-size", "1;2", "--input-output-len", "4,3", "--runs", "3", "--warm-up", "1"]
        document = json.loads(self.expect_done(self.run_script("peers/transformers_bench.py", *options, *cells)))
        validate(document, "transformers")
        self.assertEqual([cell["runs"] for cell in document["cells"]], [3, 3])


if __name__ == "__main__":
    unittest.main()
