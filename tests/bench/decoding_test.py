import json
import os
import unittest

from made_up import BENCH
from script_test_case import ScriptTestCase

TALE = str(BENCH.parent / "examples" / "models" / "tale-llama")


class DecodingTest(ScriptTestCase):
    def run_decoding(self, *arguments):
        return self.run_script("decoding.py", os.environ["QUERN_PROGRAM"], *arguments)

    def test_measures_steps_and_second_prompts(self):
        out = self.expect_done(
            self.run_decoding("-m", TALE, "--rounds", "2", "--prompt-len", "300", "--shared-len", "280", "--", "--device", "cpu")
        )
        document = json.loads(out)
        self.assertEqual(document["rounds"], 2)
        result = document["results"][TALE]
        for name, values in result["all"].items():
            self.assertEqual(len(values), 2, name)
            self.assertTrue(all(value > 0 for value in values), name)
            self.assertLessEqual(min(values), result["median"][name])
        # 20 tokens and a block in place of 300.
        self.assertGreater(result["prefix_speedup"], 1.5)

    def test_says_why_a_run_failed(self):
        self.expect_error(self.run_decoding("-m", "nowhere"), "nowhere")


if __name__ == "__main__":
    unittest.main()
