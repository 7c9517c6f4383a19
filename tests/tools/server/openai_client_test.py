"""openai-python as the client of `quern serve`. openai_client_test.py QUERN; skips without the package."""

import asyncio
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

try:
    import openai
except ImportError as missing:
    print(f"SKIPPED: needs openai-python: {missing}")
    sys.exit(77)

MODELS = pathlib.Path(__file__).resolve().parents[3] / "examples/models"
QUERN = sys.argv.pop(1)
KEY = "sk-tale"
FOX = [{"role": "user", "content": "Tell me of a fox."}]


class OpenaiClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        keys = pathlib.Path(cls.folder.name) / "keys"
        keys.write_text(KEY + "\n")
        command = [QUERN, "serve", "-m", str(MODELS / "tale-qwen2"), "--device", "cpu", "--port", "0", "--json"]
        command += ["--quiet", "--api-key-file", str(keys), "--alias", "tale"]
        cls.server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        cls.url = json.loads(cls.server.stdout.readline())["url"] + "/v1"
        cls.client = openai.OpenAI(api_key=KEY, base_url=cls.url, max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.server.terminate()
        assert cls.server.wait(30) == 0
        cls.server.stdout.close()
        cls.folder.cleanup()

    def test_lists_models(self):
        self.assertEqual([model.id for model in self.client.models.list()], ["tale-qwen2", "tale"])
        self.assertEqual(self.client.models.retrieve("tale").object, "model")

    def test_a_stream_is_the_whole_answer(self):
        options = {"model": "tale", "messages": FOX, "max_tokens": 30, "temperature": 0}
        whole = self.client.chat.completions.create(**options, logprobs=True, top_logprobs=2)
        choice = whole.choices[0]
        self.assertEqual((choice.message.role, choice.finish_reason), ("assistant", "length"))
        self.assertEqual(whole.usage.completion_tokens, 30)
        self.assertEqual("".join(token.token for token in choice.logprobs.content), choice.message.content)
        usage = {"include_usage": True}
        chunks = list(self.client.chat.completions.create(**options, stream=True, stream_options=usage))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        self.assertEqual(text, choice.message.content)
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertEqual(chunks[-1].usage.total_tokens, whole.usage.total_tokens)
        self.assertEqual({chunk.id for chunk in chunks}, {chunks[0].id})

    def test_completes_several_prompts(self):
        answer = self.client.completions.create(
            model="tale", prompt=["The king", "A fox"], max_tokens=5, temperature=0, logprobs=1, echo=True
        )
        self.assertEqual([choice.index for choice in answer.choices], [0, 1])
        for choice, prompt in zip(answer.choices, ("The king", "A fox")):
            self.assertTrue(choice.text.startswith(prompt))
            self.assertEqual("".join(choice.logprobs.tokens), choice.text)
            self.assertIsNone(choice.logprobs.token_logprobs[0])

    def test_errors_have_their_classes(self):
        def create(client=self.client, **more):
            return client.chat.completions.create(**{"model": "tale", "messages": FOX, "max_tokens": 1, **more})

        stranger = openai.OpenAI(api_key="wrong", base_url=self.url, max_retries=0)
        self.assertRaises(openai.AuthenticationError, create, stranger)
        self.assertRaises(openai.NotFoundError, create, model="none")
        with self.assertRaises(openai.BadRequestError) as refused:
            create(top_p=7)
        self.assertEqual(refused.exception.param, "top_p")
        with self.assertRaises(openai.BadRequestError) as long:
            create(messages=[{"role": "user", "content": "fox " * 5000}])
        self.assertEqual(long.exception.code, "context_length_exceeded")

    def test_sixty_four_streams_at_a_time_are_equal(self):
        async def stream(client):
            text = ""
            async for chunk in await client.chat.completions.create(
                model="tale", messages=FOX, max_tokens=20, temperature=0, stream=True
            ):
                text += chunk.choices[0].delta.content or ""
            return text

        async def streams():
            async with openai.AsyncOpenAI(api_key=KEY, base_url=self.url, max_retries=0) as client:
                return await asyncio.gather(*(stream(client) for _ in range(64)))

        texts = asyncio.run(streams())
        self.assertEqual(len(texts), 64)
        self.assertEqual(len(set(texts)), 1)
        self.assertGreater(len(texts[0]), 20)


if __name__ == "__main__":
    unittest.main(verbosity=2)
