"""What the tests of the Python package share."""

import json
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
MODELS = ROOT / "examples" / "models"

try:
    import numpy  # noqa: F401
except ImportError:
    raise unittest.SkipTest("numpy is not installed") from None

import quern  # noqa: E402

GREEDY = {"greedy": True}


def golden(name="llama", index=0):
    """Hugging Face's answers to a prompt, in float32."""
    with open(ROOT / "tests" / "golden" / f"{name}.golden.json", encoding="utf-8") as file:
        return json.load(file)["cases"][index]


def engine(model="tale-llama", **options):
    return quern.Engine(MODELS / model, **{"device": "cpu", "threads": 1, "max_seq_len": 512, **options})


class EngineCase(unittest.TestCase):
    """One engine for all tests of a class."""

    MODEL = "tale-llama"

    @classmethod
    def setUpClass(cls):
        cls.engine = engine(cls.MODEL)

    @classmethod
    def tearDownClass(cls):
        cls.engine.close()


def params(**values):
    return quern.SamplingParams(**{**GREEDY, **values})


sys.dont_write_bytecode = True  # the checkout may be read-only
