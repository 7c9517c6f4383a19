"""Errors carry the engine's message; an interrupt leaves an engine usable; the process stays as it was."""

import logging
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import unittest

from case import MODELS, ROOT, EngineCase, engine, params
import quern


class ErrorsTest(EngineCase):
    def test_messages_are_the_engines(self):
        with self.assertRaisesRegex(quern.NotFoundError, "/nowhere"):
            quern.Engine("/nowhere")
        with self.assertRaisesRegex(quern.InvalidArgumentError, "1.5") as caught:
            self.engine.generate("Once", params(top_p=1.5))
        self.assertIsInstance(caught.exception, ValueError)
        self.assertEqual(caught.exception.status, "invalid_argument")
        with self.assertRaisesRegex(quern.OutOfMemoryError, "bytes.* needed.* lower"):
            quern.Engine.random("llama_7b", num_layers=1, device="cpu", max_tokens_per_step=2**24)
        with self.assertRaises(quern.NotFoundError):
            quern.Tokenizer(MODELS)

    def test_what_no_engine_takes_is_named(self):
        for values, name in (
            ({"top_k": 1.5}, "top_k"), ({"temperature": "hot"}, "temperature"), ({"max_tokens": 0}, "max_tokens"),
            ({"seed": -1}, "seed"), ({"stop": [3]}, "stop"), ({"early_stopping": "soon"}, "early_stopping"),
            ({"n": 2**40}, "'n'"), ({"stop_token_ids": [2**31]}, "2147483648"),
        ):
            with self.assertRaisesRegex(quern.InvalidArgumentError, name):
                self.engine.generate("Once", params(**values))
        for options, name in (({"device": "tpu"}, "device"), ({"dtype": "float64"}, "dtype"), ({"max_seqs": "many"}, "max_seqs")):
            with self.assertRaisesRegex(quern.InvalidArgumentError, name):
                engine(**options)
        with self.assertRaises(TypeError):
            quern.SamplingParams(max_new_token=3)
        with self.assertRaisesRegex(quern.InvalidArgumentError, "sampling_params"):
            self.engine.generate(["a", "b"], [params()])
        with self.assertRaises(quern.InvalidArgumentError):
            self.engine.generate([object()], params())

    def test_a_refused_prompt_lets_none_run(self):
        with self.assertRaises(quern.InvalidArgumentError):
            self.engine.generate([[5], [10**6]], params(max_tokens=400))
        self.assertEqual(len(self.engine.generate("Once", params(max_tokens=2)).token_ids), 2)
        self.assertFalse(self.engine._consumers)

    def test_closed_engines_say_so(self):
        closed = engine()
        tokenizer, stream = closed.tokenizer, closed.stream("Once")
        closed.close()
        closed.close()
        for call in (lambda: closed.generate("a"), lambda: next(stream), lambda: tokenizer.encode("a"), lambda: closed.timing):
            self.assertRaises(quern.UnavailableError, call)
        self.assertIn("closed", repr(closed))

    def test_on_load(self):
        seen = []
        engine(on_load=lambda done, total: seen.append((done, total))).close()
        self.assertEqual(seen[0][0], 0)
        self.assertEqual(seen[-1][0], seen[-1][1])

        def refuse(done, total):
            raise KeyError("enough")

        with self.assertRaisesRegex(KeyError, "enough"):
            engine(on_load=refuse)

    def test_log(self):
        with self.assertLogs("quern", logging.DEBUG) as log:
            engine().close()
        self.assertTrue(log.output)


class InterruptTest(unittest.TestCase):
    def test_ctrl_c_ends_a_batch_and_leaves_the_engine(self):
        with engine(max_seq_len=2048) as one:
            before = one.generate("Once", params(max_tokens=5)).text
            timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            with self.assertRaises(KeyboardInterrupt):
                while True:
                    one.generate(["The king", "A fox"], params(max_tokens=1900, ignore_eos=True))
            timer.join()
            self.assertFalse(one.busy)
            self.assertFalse(one._consumers)
            self.assertEqual(one.generate("Once", params(max_tokens=5)).text, before)

    def test_interrupts_at_any_place_lose_no_engine(self):
        with engine(max_seq_len=2048) as one:
            one.generate("Once", params(max_tokens=2))
            deadline = time.monotonic() + 1.5
            while time.monotonic() < deadline:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.0005 + (time.monotonic() % 0.003))
                    while True:
                        one.generate(["The king", "A fox"], params(max_tokens=3))
                except KeyboardInterrupt:
                    pass
            self.assertEqual(len(one.generate("Once", params(max_tokens=5)).token_ids), 5)

    def setUp(self):
        def interrupt(*_):
            raise KeyboardInterrupt

        self._before = signal.signal(signal.SIGALRM, interrupt)

    def tearDown(self):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)


class ProcessTest(unittest.TestCase):
    def run_python(self, code):
        return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)

    def test_numpy_torch_and_signals_beside(self):
        code = """
import importlib.util, signal
import numpy
torch = __import__("torch") if importlib.util.find_spec("torch") else None
handlers = [signal.getsignal(number) for number in signal.valid_signals()]
def state():
    with open("/proc/self/status") as file:
        masks = [line for line in file if line.startswith(("SigBlk", "SigIgn", "SigCgt"))]
    return masks, torch and (torch.get_num_threads(), torch.get_num_interop_threads())
before = state()
a = numpy.arange(90000.0).reshape(300, 300) % 7
product = a @ a
import quern
engine = quern.Engine("examples/models/tale-llama", device="cpu", max_seq_len=128)
text = engine.generate("Once upon a time", quern.SamplingParams(max_tokens=8, greedy=True)).text
assert state() == before, (before, state())
assert handlers == [signal.getsignal(number) for number in signal.valid_signals()]
assert (a @ a == product).all()
if torch:
    b = torch.from_numpy(engine.logits("Once")).double()
    assert torch.log_softmax(b, 1).shape == b.shape
    assert (torch.from_numpy(a) @ torch.from_numpy(a)).numpy().tolist() == product.tolist()
print(text, "torch" if torch else "")
"""
        ran = self.run_python(code)
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        self.assertTrue(ran.stdout.strip())

    def test_leaving_without_close(self):
        code = """
import quern, asyncio
engine = quern.Engine("examples/models/tale-llama", device="cpu", max_seq_len=128)
stream = engine.stream("Once")
next(stream)
async def main():
    async for update in engine.astream("Once"):
        break
asyncio.run(main())
print("left")
"""
        ran = self.run_python(code)
        self.assertEqual((ran.returncode, ran.stdout, ran.stderr), (0, "left\n", ""))

    def test_a_child_of_fork_leaves_engines_to_its_parent(self):
        code = """
import os, warnings
import quern
engine = quern.Engine("examples/models/tale-llama", device="cpu", threads=2, max_seq_len=128)
warnings.simplefilter("ignore", DeprecationWarning)  # of fork() beside threads
child = os.fork()
if child == 0:
    try:
        engine.generate("Once")
    except quern.UnavailableError as error:
        assert "parent" in str(error)
        del engine, error
        with quern.Engine("examples/models/tale-llama", device="cpu", threads=2, max_seq_len=128) as own:
            own.generate("Once", quern.SamplingParams(max_tokens=3))
        os._exit(3)
    os._exit(4)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
assert len(engine.generate("Once", quern.SamplingParams(max_tokens=3, ignore_eos=True)).token_ids) == 3
print("both")
"""
        ran = self.run_python(code)
        self.assertEqual((ran.returncode, ran.stdout, ran.stderr), (0, "both\n", ""))

    def test_the_program(self):
        program = os.environ.get("QUERN_PROGRAM")
        if not program and not (pathlib.Path(quern.__file__).parent / "bin" / "quern").exists():
            self.skipTest("this build has no program")
        model = str(MODELS / "tale-llama")
        arguments = ["run", "-m", model, "-p", "Once upon a time", "-n", "8", "--greedy", "--quiet"]
        ran = subprocess.run([sys.executable, "-m", "quern", *arguments], capture_output=True, text=True, check=True)
        with engine() as one:
            self.assertEqual(ran.stdout.rstrip("\n"), one.generate("Once upon a time", params(max_tokens=8)).text)
        failed = subprocess.run([sys.executable, "-m", "quern", "walk"], capture_output=True, text=True, check=False)
        self.assertEqual(failed.returncode, 2)
        self.assertIn("error:", failed.stderr)


if __name__ == "__main__":
    unittest.main()
