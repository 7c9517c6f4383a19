"""Batches, streams, parameters and numbers, against Hugging Face's answers."""

import gc
import pathlib
import threading
import unittest

from case import MODELS, ROOT, EngineCase, engine, golden, params
import numpy as np
import quern


class GenerateTest(EngineCase):
    def test_a_batch_gives_what_hugging_face_gives(self):
        cases = [golden(index=index) for index in range(3)]
        outputs = self.engine.generate([case["prompt"] for case in cases], params(max_tokens=20))
        for case, output in zip(cases, outputs):
            self.assertEqual(output.token_ids, case["greedy_ids"][:20])
            self.assertEqual(output.prompt_token_ids, case["prompt_ids"])
            self.assertTrue(case["greedy_text"].startswith(case["prompt"] + output.text))
            self.assertEqual((output.finish_reason, output.num_generated_tokens), ("length", 20))

    def test_one_prompt_as_text_list_and_array(self):
        case = golden()
        for prompt in (case["prompt"], case["prompt_ids"], tuple(case["prompt_ids"]), np.array(case["prompt_ids"])):
            output = self.engine.generate(prompt, params(max_tokens=4))
            self.assertEqual(output.token_ids, case["greedy_ids"][:4])
        self.assertEqual(self.engine.generate([]), [])
        each = self.engine.generate(["a", "b"], [params(max_tokens=1), params(max_tokens=2)])
        self.assertEqual([len(output.token_ids) for output in each], [1, 2])

    def test_streams_interleave_and_join_to_the_text(self):
        prompts = ["Once upon a time", "The king had three sons."]
        whole = self.engine.generate(prompts, params(max_tokens=12))
        streams = [self.engine.stream(prompt, params(max_tokens=12)) for prompt in prompts]
        texts = ["", ""]
        for _ in range(12):
            for index, stream in enumerate(streams):
                texts[index] += next(stream).text
        self.assertEqual(texts, [output.text for output in whole])
        for stream, output in zip(streams, whole):
            self.assertRaises(StopIteration, next, stream)
            self.assertEqual(stream.output.token_ids, output.token_ids)

    def test_a_dropped_stream_frees_its_row(self):
        with engine(max_seqs=1) as one:
            for update in one.stream("Once upon a time", params(max_tokens=400)):
                break
            gc.collect()
            with one.stream("Once", params(max_tokens=400)) as stream:
                next(stream)
            self.assertEqual(len(one.generate("Once", params(max_tokens=3)).token_ids), 3)
            self.assertFalse(one._consumers)

    def test_steps_of_ones_own(self):
        first = self.engine.submit("Once upon a time", params(max_tokens=5))
        second = self.engine.submit("The king", params(max_tokens=500))
        ids = {first: [], second: []}
        while self.engine.busy:
            for update in self.engine.step():
                ids[update.request_id] += update.token_ids
                if len(ids[second]) >= 7:
                    self.engine.cancel(second)
        self.assertEqual(self.engine.take_output(first).token_ids, ids[first])
        cancelled = self.engine.take_output(second)
        self.assertEqual((cancelled.finish_reason, cancelled.token_ids), ("cancelled", ids[second]))
        self.assertIsNone(self.engine.take_output(second))
        self.assertEqual(self.engine.step(), [])

    def test_sampling_parameters_reach_the_engine(self):
        sampled = dict(greedy=False, temperature=0.9, top_p=0.95, max_tokens=16, seed=11)
        first = self.engine.generate("Once upon a time", params(**sampled))
        self.assertEqual(first.seed, 11)
        self.assertEqual(self.engine.generate("Once upon a time", params(**sampled)).text, first.text)
        self.assertNotEqual(self.engine.generate("Once upon a time", params(**{**sampled, "seed": 12})).text, first.text)
        calm = dict(greedy=False, max_tokens=16, seed=11, mirostat_eta=0.2)
        self.assertNotEqual(
            self.engine.generate("Once upon a time", params(mirostat_tau=0.5, **calm)).token_ids,
            self.engine.generate("Once upon a time", params(mirostat_tau=8.0, **calm)).token_ids,
        )
        stopped = self.engine.generate("Once upon a time", params(max_tokens=40, stop=["never", ","]))
        self.assertEqual(stopped.finish_reason, "stop_string")
        self.assertNotIn(",", stopped.text)
        token = self.engine.generate("Once", params(max_tokens=1)).token_ids[0]
        self.assertNotEqual(self.engine.generate("Once", params(max_tokens=1, logit_bias={token: -100.0})).token_ids, [token])
        self.assertNotEqual(self.engine.generate("Once", params(max_tokens=1, bad_words_ids=[[token]])).token_ids, [token])
        self.assertEqual(self.engine.generate("Once", params(stop_token_ids=[token])).finish_reason, "stop")
        beams = self.engine.generate("Once", quern.SamplingParams(num_beams=3, n=2, max_tokens=5, early_stopping="never"))
        self.assertGreaterEqual(beams.outputs[0].score, beams.outputs[1].score)
        several = self.engine.generate("Once", params(greedy=False, temperature=1.0, n=3, max_tokens=8, seed=1, top_k=-1))
        self.assertEqual([output.index for output in several.outputs], [0, 1, 2])
        self.assertEqual(several.num_generated_tokens, sum(len(output.token_ids) for output in several.outputs))

    def test_logprobs_are_the_log_softmax_of_logits(self):
        output = self.engine.generate("The king had three sons.", params(max_tokens=3, logprobs=2, prompt_logprobs=0))
        ids = output.prompt_token_ids + output.token_ids
        logits = self.engine.logits(ids).astype(np.float64)
        logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        for position, token in enumerate(output.prompt_logprobs + output.outputs[0].logprobs):
            self.assertEqual(token.token_id, ids[position + 1])
            self.assertAlmostEqual(token.logprob, logprobs[position, token.token_id], places=4)
        for token in output.outputs[0].logprobs:
            self.assertEqual(len(token.top), 2)
            self.assertEqual(token.top[0], (token.token_id, token.logprob))
        streamed = [update for update in self.engine.stream("The king had three sons.", params(max_tokens=3, logprobs=2))]
        self.assertEqual([update.logprobs[0] for update in streamed], output.outputs[0].logprobs)

    def test_logits_are_hugging_faces(self):
        case = golden()
        logits = self.engine.logits(case["prompt_ids"])
        self.assertEqual((logits.dtype, logits.shape), (np.float32, (len(case["prompt_ids"]), self.engine.info.vocab_size)))
        best = np.argsort(-logits[-1])[:5]
        self.assertEqual(best.tolist(), case["greedy_top5_ids"][0])
        np.testing.assert_allclose(logits[-1][best], case["greedy_top5_logits"][0], rtol=0, atol=1e-3)
        np.testing.assert_array_equal(self.engine.logits(case["prompt"], first=3), logits[3:])
        self.assertEqual(self.engine.logits([1, 2]).shape[0], 2)


class BesideTest(unittest.TestCase):
    def test_several_engines_and_threads(self):
        prompt, names = "The king had three sons.", ["tale-llama", "tale-gpt2", "tale-qwen2"]
        engines = [engine(name) for name in names]
        alone = [one.generate(prompt, params(max_tokens=10)).text for one in engines]
        texts = {}

        def run(index):  # two threads for each engine
            texts[index] = engines[index % 3].generate(prompt, params(max_tokens=10)).text

        threads = [threading.Thread(target=run, args=(index,)) for index in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([texts[index] for index in range(6)], alone * 2)
        for one in engines:
            one.close()

    def test_a_step_releases_the_gil(self):
        with engine(max_seq_len=2048, max_seqs=8) as one:
            counted, done = [0], threading.Event()

            def count():
                while not done.is_set():
                    counted[0] += 1

            counter = threading.Thread(target=count)
            counter.start()
            one.logits(list(range(3, 1003)))  # one call into the library
            done.set()
            counter.join()
            self.assertGreater(counted[0], 1000)

    def test_random_weights(self):
        with quern.Engine.random("gpt_350m", num_layers=1, device="cpu", max_seq_len=64) as one:
            self.assertTrue(one.info.random_weights)
            self.assertEqual(len(one.generate([1, 2, 3], params(max_tokens=2)).token_ids), 2)
            with self.assertRaises(quern.QuernError):
                one.tokenizer.encode("a")

    def test_facts(self):
        info = quern.read_model_info(MODELS / "tale-llama")
        with engine() as one:
            self.assertEqual(info._replace(name=""), one.info._replace(name=""))
            self.assertEqual((info.model_type, info.dtype, info.eos_token_ids), ("llama", "float16", [2]))
            self.assertEqual(pathlib.Path(info.folder), ROOT / "examples/models/tale-llama")
            self.assertEqual((one.options["device"], one.options["dtype"], one.options["max_seq_len"]), ("cpu", "float32", 512))
            self.assertFalse(one.options["deterministic"])
            with engine(deterministic=True) as same:
                self.assertTrue(same.options["deterministic"])
                self.assertEqual(same.generate("Once", params(max_tokens=4)), one.generate("Once", params(max_tokens=4)))
            one.generate("Once", params(max_tokens=4))
            self.assertEqual(one.timing.decode_tokens, 3)
            self.assertGreater(one.memory_plan.total_bytes, one.memory_plan.weight_bytes)


if __name__ == "__main__":
    unittest.main()
