"""Asynchronous streams."""

import asyncio
import threading
import unittest

from case import EngineCase, engine, params
import quern

PROMPTS = ["Once upon a time", "The king had three sons.", "A fox", "In the forest"]


class AsyncTest(EngineCase):
    def setUp(self):
        self.expected = [output.text for output in self.engine.generate(PROMPTS, params(max_tokens=20))]

    async def text_of(self, prompt, tokens=20):
        text = ""
        async for update in self.engine.astream(prompt, params(max_tokens=tokens)):
            text += update.text
        return text

    def test_streams_run_as_one_batch(self):
        async def main():
            before = self.engine.timing.steps_run
            texts = await asyncio.gather(*(self.text_of(prompt) for prompt in PROMPTS))
            return texts, self.engine.timing.steps_run - before

        texts, steps = asyncio.run(main())
        self.assertEqual(texts, self.expected)
        self.assertLess(steps, 60)  # one after the other they would be 80

    def test_outputs_and_errors_of_their_own(self):
        async def main():
            calls = [self.engine.agenerate(prompt, params(max_tokens=20)) for prompt in PROMPTS]
            calls.append(self.engine.agenerate("Once", params(top_p=7.0)))
            return await asyncio.gather(*calls, return_exceptions=True)

        *outputs, error = asyncio.run(main())
        self.assertEqual([output.text for output in outputs], self.expected)
        self.assertIsInstance(error, quern.InvalidArgumentError)

    def test_leaving_and_cancelling_frees_rows(self):
        async def main():
            with engine(max_seqs=1) as one:
                async for update in one.astream("Once upon a time", params(max_tokens=400)):
                    break
                task = asyncio.create_task(one.agenerate("Once", params(max_tokens=400, ignore_eos=True)))
                await asyncio.sleep(0.02)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                return await asyncio.wait_for(one.agenerate("Once", params(max_tokens=3)), 30)

        self.assertEqual(len(asyncio.run(main()).token_ids), 3)

    def test_the_loop_stays_free(self):
        async def main():
            ticks = 0
            task = asyncio.create_task(self.engine.agenerate(PROMPTS[0], params(max_tokens=300, ignore_eos=True)))
            while not task.done():
                await asyncio.sleep(0.001)
                ticks += 1
            return ticks

        self.assertGreater(asyncio.run(main()), 10)

    def test_beside_threads(self):
        texts = []
        thread = threading.Thread(
            target=lambda: texts.extend(o.text for o in self.engine.generate(PROMPTS, params(max_tokens=20)))
        )

        async def main():
            thread.start()
            return await asyncio.gather(*(self.text_of(prompt) for prompt in PROMPTS))

        self.assertEqual(asyncio.run(main()), self.expected)
        thread.join()
        self.assertEqual(texts, self.expected)

    def test_another_thread_may_make_the_last_step(self):
        def finish():
            with self.engine._ask():
                self.engine._mine()
                while self.engine.busy:
                    self.engine._step()

        async def main():
            stream = self.engine.astream("Once", params(max_tokens=400, ignore_eos=True))
            updates = [await stream.__anext__()]
            await asyncio.to_thread(finish)
            return updates + [update async for update in stream]

        updates = asyncio.run(main())
        self.assertEqual(updates[-1].finish_reason, "length")
        self.assertEqual(sum(len(update.token_ids) for update in updates), 400)

    def test_closing_ends_streams(self):
        async def main():
            one = engine()
            stream = one.astream("Once", params(max_tokens=400, ignore_eos=True))
            await stream.__anext__()
            await asyncio.to_thread(one.close)
            return [update async for update in stream]

        self.assertEqual(asyncio.run(main())[-1].finish_reason, "cancelled")


if __name__ == "__main__":
    unittest.main()
