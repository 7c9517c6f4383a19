"""Tokenizers, chat templates and answers, against Hugging Face's where it is installed."""

import unittest

from case import MODELS, EngineCase, golden, params
import quern

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Tell me of a <|im_end|> fox. ü"}]


class TokenizerTest(unittest.TestCase):
    def test_encodes_and_decodes(self):
        tokenizer = quern.Tokenizer(MODELS / "tale-llama")
        case = golden()
        self.assertEqual(tokenizer.encode(case["prompt"]), case["prompt_ids"])
        self.assertEqual(tokenizer.encode(case["prompt"], add_bos=False), case["prompt_ids"][1:])
        self.assertEqual(tokenizer.decode(case["prompt_ids"]), case["prompt"])
        self.assertEqual(tokenizer.decode(case["prompt_ids"], skip_special_tokens=False)[:3], "<s>")
        self.assertEqual((tokenizer.bos_token_id, tokenizer.eos_token_ids), (1, [2]))
        self.assertEqual((tokenizer.token_to_id("<s>"), tokenizer.token_to_id("no such token")), (1, None))
        self.assertTrue(tokenizer.is_special(1) and not tokenizer.is_special(1704))
        self.assertEqual(tokenizer.token_bytes(case["prompt_ids"][1]), b" Once")
        self.assertGreaterEqual(tokenizer.vocab_size, 2000)
        self.assertIn("tokenizer.model", repr(tokenizer))
        with self.assertRaisesRegex(quern.InvalidArgumentError, "UTF-8"):
            tokenizer.encode("a\ud800")
        with self.assertRaises(quern.InvalidArgumentError):
            tokenizer.encode("one two three", max_tokens=1)
        with self.assertRaises(quern.InvalidArgumentError):
            tokenizer.decode([-1])
        with self.assertRaises(quern.InvalidArgumentError):
            tokenizer.decode(["a"])

    def test_texts_with_nul_and_beyond_the_basic_plane(self):
        tokenizer = quern.Tokenizer(MODELS / "tale-gpt2")
        for text in ("", "a\0b", "🦊 und König", "\n\n  x"):
            self.assertEqual(tokenizer.decode(tokenizer.encode(text)), text)


class ChatTest(EngineCase):
    MODEL = "tale-qwen2"

    def test_renders_as_transformers(self):
        template = quern.ChatTemplate(MODELS / "tale-qwen2")
        chat = template.render(MESSAGES)
        expected = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in MESSAGES) + "<|im_start|>assistant\n"
        self.assertEqual(chat.text, expected)
        self.assertIn(MESSAGES[1]["content"], chat.untrusted)
        end = self.engine.tokenizer.token_to_id("<|im_end|>")
        self.assertEqual(template.encode(self.engine.tokenizer, chat).count(end), 2)
        self.assertEqual(template.encode(self.engine.tokenizer, chat, parse_special_in_messages=True).count(end), 3)
        self.assertEqual(template.tool_calls, "none")
        self.assertIn("im_start", template.source)

    def test_variables_and_errors(self):
        template = quern.ChatTemplate.parse("{{ messages[0].content }}{% if loud %}!{% endif %}", "mine")
        self.assertEqual(template.render([{"role": "user", "content": "Hi"}], loud=True).text, "Hi!")
        self.assertEqual(template.name, "mine")
        with self.assertRaisesRegex(quern.BadFileError, "mine"):
            quern.ChatTemplate.parse("{% if %}", "mine")
        with self.assertRaisesRegex(quern.InvalidArgumentError, "no users"):
            quern.ChatTemplate.parse("{{ raise_exception('no users') }}").render(MESSAGES)

    def test_a_chat_answers(self):
        output = self.engine.chat(MESSAGES[1:], params(max_tokens=12))
        prompt = self.engine.chat_prompt(MESSAGES[1:])
        self.assertEqual(output.prompt_token_ids, prompt)
        self.assertEqual(self.engine.generate(prompt, params(max_tokens=12)).text, output.text)

    def test_answers_are_taken_apart(self):
        text = '<think>Hm.</think>Yes.<tool_call>\n{"name": "look", "arguments": {"at": 1}}\n</tool_call>'
        answer = quern.AnswerParser("hermes").parse(text)
        self.assertEqual((answer.content, answer.reasoning), ("Yes.", "Hm."))
        self.assertEqual(answer.tool_calls[0].name, "look")
        pieces = quern.AnswerParser("hermes")
        self.assertEqual("".join(pieces.push(letter).content for letter in text) + pieces.finish().content, "Yes.")
        with self.assertRaises(quern.InvalidArgumentError):
            quern.AnswerParser("grammar")


if __name__ == "__main__":
    unittest.main()
