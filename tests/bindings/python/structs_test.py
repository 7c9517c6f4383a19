"""The package's structs are those of the C header, and its functions are all there."""

import ctypes
import pathlib
import re
import unittest

from case import ROOT
from quern import _library, _structs

ABI = ROOT / "tests" / "bindings" / f"abi_{_library.ABI_VERSION}.txt"
NOT_USED = {"quern_message"}  # messages are JSON in Python


def python_name(c_name):
    return "".join(part.capitalize() for part in c_name[len("quern_") :].split("_"))


class StructsTest(unittest.TestCase):
    def test_fields_lie_where_c_has_them(self):
        compared = 0
        for line in ABI.read_text(encoding="utf-8").splitlines():
            name, *numbers = line.split()
            struct_name, _, field = name.partition(".")
            if struct_name in NOT_USED:
                continue
            struct = getattr(_structs, python_name(struct_name))
            if field:
                found = getattr(struct, field)
                self.assertEqual([str(found.offset), str(found.size)], numbers, name)
            else:
                self.assertEqual(str(ctypes.sizeof(struct)), numbers[0], name)
            compared += 1
        self.assertGreater(compared, 150)

    def test_functions_are_declared_in_the_headers(self):
        headers = "".join(path.read_text(encoding="utf-8") for path in pathlib.Path(ROOT / "include/quern/c").glob("*.h"))
        declared = set(re.findall(r"\bquern_(\w+)\(", headers))
        self.assertLessEqual(set(_library._FUNCTIONS), declared)
        for name, (_, arguments) in _library._FUNCTIONS.items():
            parameters = re.search(rf"\bquern_{name}\((.*?)\);", headers, flags=re.DOTALL).group(1)
            count = 0 if parameters == "void" else parameters.count(",") + 1
            self.assertEqual(len(arguments), count, name)


if __name__ == "__main__":
    unittest.main()
