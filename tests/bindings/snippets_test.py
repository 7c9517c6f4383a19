#!/usr/bin/env python3
"""snippets_test.py DOCUMENT LANGUAGE [COMPILER OPTION ...]: joins the code blocks of that language (c, c++, python) of a
document to one program, as its reader would, and runs it at the root of the sources. C and C++ are compiled with these
options, as the body of main()."""
import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEAD = {
    "c": "#include <stdio.h>\n#include <string.h>\n#include \"quern/quern.h\"\n",
    "c++": "#include <iostream>\n#include <span>\n#include \"quern/chat.h\"\n#include \"quern/engine.h\"\n#include \"quern/error.h\"\n",
}


def blocks(document, language):
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def main(document, language, *options):
    code = blocks(document, language)
    if not code:
        sys.exit(f"FAILED: {document} has no code in {language}")
    if language == "python" and importlib.util.find_spec("numpy") is None:
        print("SKIPPED: numpy is not installed")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        if language == "python":
            source = folder / "snippets.py"
            source.write_text("\n".join(code), encoding="utf-8")
            command = [sys.executable, str(source)]
        else:
            source = folder / f"snippets.{'c' if language == 'c' else 'cc'}"
            source.write_text(HEAD[language] + "int main(void) {\n" + "\n".join(code) + "return 0;\n}\n", encoding="utf-8")
            command = [str(folder / "snippets")]
            compiler, *rest = options
            built = subprocess.run([compiler, str(source), "-o", command[0], *rest], capture_output=True, text=True, check=False)
            if built.returncode != 0:
                sys.exit(f"FAILED: {document} does not compile:\n{built.stderr}")
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
        if ran.returncode != 0 or not ran.stdout.strip():
            sys.exit(f"FAILED: {document} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
        print(f"{document}: {len(code)} blocks\n{ran.stdout}")


main(*sys.argv[1:])
