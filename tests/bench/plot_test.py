import unittest
import xml.etree.ElementTree

import made_up
from script_test_case import ScriptTestCase

try:
    from plotting import style
except ImportError as error:
    raise unittest.SkipTest(f"needs matplotlib: {error}")


def lightness(colour):
    """Relative luminance of #rrggbb, from 0 to 1."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2


def small_sweep(slower=1.0, keys=made_up.TABLE[:2], **options):
    """Two batch sizes of one pair of lengths, or what is given: drawing takes its time."""
    return made_up.document((made_up.cell(key, slower=slower) for key in keys), **options)


class StyleTest(unittest.TestCase):
    def test_no_two_series_look_alike_in_print(self):
        styles = [style.line_style(index) for index in range(len(style.COLOURS))]
        for name in ("color", "marker", "linestyle"):
            self.assertEqual(len({str(one[name]) for one in styles}), len(styles), name)

    def test_neighbours_differ_in_lightness(self):
        for first, second in zip(style.COLOURS[:4], style.COLOURS[1:4]):
            brighter, darker = sorted((lightness(first), lightness(second)), reverse=True)
            self.assertGreater((brighter + 0.05) / (darker + 0.05), 2, (first, second))


class PlotTest(ScriptTestCase):
    def plot(self, *documents):
        done = self.run_script(
            "plot.py", made_up.write(self.folder, "r.json", *documents), "--output", str(self.folder / "out")
        )
        names = self.expect_done(done).split()
        self.assertEqual(sorted(names), sorted(str(path) for path in (self.folder / "out").iterdir()))
        return {name.rsplit("/", 1)[1] for name in names}

    def texts(self, name):
        """Of an SVG whose text is kept as comments beside its outlines."""
        parser = xml.etree.ElementTree.XMLParser(target=xml.etree.ElementTree.TreeBuilder(insert_comments=True))
        tree = xml.etree.ElementTree.parse(self.folder / "out" / name, parser)
        return {
            node.text.strip() for node in tree.iter() if node.tag is xml.etree.ElementTree.Comment and node.text
        }

    def test_ours_and_a_peers(self):
        keys = [key for key in made_up.TABLE if key.batch_size <= 8 and key.output_len == 20]
        names = self.plot(small_sweep(keys=keys), small_sweep(3.0, keys, program="transformers eager"))
        expected = {f"gpt_350m-{what}.{kind}" for what in ("throughput", "lengths", "floor") for kind in ("png", "svg")}
        self.assertEqual(names, expected)
        png = (self.folder / "out/gpt_350m-throughput.png").read_bytes()
        self.assertEqual(png[:8], b"\x89PNG\r\n\x1a\n")
        texts = self.texts("gpt_350m-throughput.svg")
        for part in ("quern", "transformers eager", "batch size", "latency, ms", "new tokens/s, prefill included",
                     "64 in, 20 out", "gpt_350m, NVIDIA H200"):
            self.assertIn(part, texts)
        self.assertIn("share of the floor, %", self.texts("gpt_350m-floor.svg"))

    def test_stop_checks_and_a_breakdown(self):
        names = self.plot(
            small_sweep(device_loop="off", slower=1.02),
            small_sweep(device_loop="off", check_interval=1000),
            small_sweep(device_loop="require"),
            small_sweep(skip_steps=8, check_interval=4),
            made_up.profile(),
        )
        self.assertIn("gpt_350m-stop-checks.svg", names)
        texts = self.texts("gpt_350m-stop-checks.svg")
        for part in ("no stop checks", "device loop", "stop checks 8/4", "stop check every step, %"):
            self.assertIn(part, texts)
        texts = self.texts("gpt_350m-breakdown.svg")
        for part in ("qkv × 24", "decode step, 660 µs", "prefill step, 1980 µs", "µs a step"):
            self.assertIn(part, texts)

    def test_loads_of_servers(self):
        loads = [made_up.load(rate, program=program) for rate in (1.0, 2.0, 4.0) for program in ("quern", "vllm")]
        names = self.plot(*loads, made_up.load(concurrency=64))
        self.assertEqual(names, {"gpt_350m-serving.png", "gpt_350m-serving.svg"})
        texts = self.texts("gpt_350m-serving.svg")
        for part in ("requests/s wanted", "requests at a time", "quern, p99", "vllm, median", "vllm, goodput",
                     "time to first token, ms", "between tokens, ms", "gpt_350m, served"):
            self.assertIn(part, texts)

    def test_the_same_results_are_the_same_svg(self):
        self.plot(small_sweep())
        first = (self.folder / "out/gpt_350m-throughput.svg").read_bytes()
        self.plot(small_sweep())
        self.assertEqual((self.folder / "out/gpt_350m-throughput.svg").read_bytes(), first)

    def test_what_cannot_be_plotted_is_named(self):
        empty = made_up.write(self.folder, "r.json", made_up.document([]))
        self.expect_error(self.run_script("plot.py", empty), "nothing to plot")
        bad = {"model": "m", "profile": {"read_gbps": 1}}
        self.expect_error(self.run_script("plot.py", made_up.write(self.folder, "p.json", bad)), "profile of m")
        good = made_up.write(self.folder, "r.json", small_sweep())
        self.expect_error(self.run_script("plot.py", good, "--output", "/proc/none/here"), "/proc/none")
        self.expect_error(self.run_script("plot.py", "none.json"), "none.json")


if __name__ == "__main__":
    unittest.main()
