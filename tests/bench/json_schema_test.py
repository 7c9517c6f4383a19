import copy
import json
import unittest

import made_up
from schema import json_schema

SCHEMA = json.loads((made_up.BENCH / "schema/results.schema.json").read_text())


def changed(path, value):
    """A valid document with one place changed; a path ends with the key or index to set, or to delete for None."""
    document = copy.deepcopy(made_up.sweep())
    place = document
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


BAD = {
    "schema": (("schema",), "other"),
    "schema_version": (("schema_version",), 1),
    "program is missing": (("program",), None),
    "$.program": (("program",), ""),
    "$.environment": (("environment",), []),
    "$.environment.gpus[0]: name is missing": (("environment", "gpus", 0, "name"), None),
    "$.settings.warm_up": (("settings", "warm_up"), -1),
    "$.settings.runs": (("settings", "runs"), True),
    "$.settings.device_loop": (("settings", "device_loop"), "on"),
    "$.engine.device": (("engine", "device"), "gpu"),
    "$.engine.dtype": (("engine", "dtype"), "fp16"),
    "$.ceilings.read_gbps": (("ceilings", "read_gbps"), 0),
    "$.cells": (("cells",), {}),
    "$.cells[3]": (("cells", 3, "latency_ms"), None),
    "$.cells[0].latencies_ms[1]": (("cells", 0, "latencies_ms", 1), "fast"),
    "speed is unknown": (("cells", 0, "speed"), 1),
    "$.cells[2].input_len": (("cells", 2, "input_len"), 1.5),
}


class JsonSchemaTest(unittest.TestCase):
    def test_a_valid_document_has_no_errors(self):
        self.assertEqual(json_schema.errors(made_up.sweep(skipped=[made_up.TABLE[0]]), SCHEMA), [])

    def test_each_error_names_its_place(self):
        for expected, (path, value) in BAD.items():
            with self.subTest(expected):
                errors = json_schema.errors(changed(path, value), SCHEMA)
                self.assertTrue(any(expected in error for error in errors), errors)

    def test_an_engine_may_be_null_but_not_missing(self):
        self.assertEqual(json_schema.errors(changed(("engine",), 0) | {"engine": None}, SCHEMA), [])
        self.assertNotEqual(json_schema.errors(changed(("engine",), None), SCHEMA), [])

    def test_a_keyword_that_is_not_known_is_not_passed_over(self):
        with self.assertRaisesRegex(ValueError, "maxItems"):
            json_schema.errors([], {"maxItems": 3})

    def test_agrees_with_the_reference_package(self):
        try:
            import jsonschema
        except ImportError:
            self.skipTest("no jsonschema package to compare with")
        validator = jsonschema.Draft202012Validator(SCHEMA)
        self.assertTrue(validator.is_valid(made_up.sweep()))
        for path, value in BAD.values():
            self.assertFalse(validator.is_valid(changed(path, value)), path)


if __name__ == "__main__":
    unittest.main()
