#!/usr/bin/env python3
"""Lets each call that can fail do so, once for each distinct call stack: run.py QUERN SHIM [--limit N] [--jobs N] [--commands NAME...].

QUERN is the program, SHIM the built fault_shim.cc. A first run of each command records the distinct call stacks of allocations and
system calls; then the command runs once for each of them, with that call failing. Each run must end by itself with status 0 and
the answer of the first run, or with status 1 and one `error:` line; no temporary file may be left, and an existing output file
holds what it held before or all of the new. --limit N takes N stacks of a command, spread evenly. Ends with status 1 if any run
does otherwise.
"""
import argparse
import collections
import concurrent.futures
import os
import pathlib
import queue
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "examples" / "models"
TIMEOUT_S = 120
OLD = b"what was there before\n"


def commands(folder):
    """Name, arguments and output file of each command."""
    data = folder / "articles.jsonl"
    data.write_text('{"article": "The king had three sons.", "highlights": "Three sons."}\n' * 2)
    summaries, logits = folder / "out" / "summaries.jsonl", folder / "out" / "logits.safetensors"
    cpu = ["--device", "cpu", "--threads", "1"]
    return {
        "run": (["run", "-m", MODELS / "tale-llama", *cpu, "-p", "The king", "-n", "3"], None),
        "json": (["run", "-m", MODELS / "tale-qwen2", *cpu, "-p", "The king", "-n", "3", "--json", "--seed", "1",
                  "--top-k", "5", "--logprobs", "2", "-q"], None),
        "torch": (["run", "-m", ROOT / "tests/cases/bin-only", *cpu, "--prompt-ids", "5,6,7", "-n", "3"], None),
        "threads": (["run", "-m", MODELS / "tale-gpt2", "--device", "cpu", "--threads", "3", "-p", "The king", "-n", "3"], None),
        "summarize": (["summarize", "-m", MODELS / "tale-llama", *cpu, "--dataset", data, "--max-new-tokens", "3",
                       "-o", summaries, "-q"], summaries),
        "logits": (["logits", "-m", MODELS / "tale-gpt2", *cpu, "-p", "The king", "-o", logits], logits),
    }


def without_measurements(output):
    """Text with the digits of times and sizes gone, which differ from run to run."""
    return re.sub(rb"[0-9.]+", b"#", output)


class Checker:
    """Runs the commands; each job has a folder of its own, so that its output file is only its own."""

    def __init__(self, program, shim, folder, jobs):
        self.program, self.shim, self.jobs = program, shim, jobs
        self.folders = queue.Queue()
        for i in range(jobs):
            (folder / str(i) / "out").mkdir(parents=True)
            self.folders.put(folder / str(i))
        self.stacks = set()
        self.counts = collections.Counter()
        self.findings = 0

    def start(self, folder, name, **faults):
        """The ended run, or None, and what its output file holds, or None."""
        arguments, output = commands(folder)[name]
        environment = {"PATH": os.environ["PATH"], "LD_PRELOAD": str(self.shim), **faults}
        if output:
            for file in output.parent.iterdir():
                file.unlink()
            output.write_bytes(OLD)
        try:
            return subprocess.run([self.program, *map(str, arguments)], capture_output=True, stdin=subprocess.DEVNULL,
                                  env=environment, timeout=TIMEOUT_S, close_fds=False), output
        except subprocess.TimeoutExpired:
            return None, output

    def record(self, folder, name):
        """The first run, its output file, and the calls whose stacks no command before had."""
        path = folder / "record"
        run, output = self.start(folder, name, QUERN_FAULTS_RECORD=str(path))
        if run is None or run.returncode != 0:
            sys.exit(f"error: {name}: {run and run.stderr.decode()}")
        calls = []
        for line in path.read_text().splitlines():
            function, number, *frames = line.split(" ")
            stack = (function, *frames)
            if stack in self.stacks or not any(frame.startswith(f"{self.program}+") for frame in frames):
                continue
            self.stacks.add(stack)
            calls.append((function, number, frames))
        if not self.stacks:
            sys.exit(f"error: {self.shim} saw no call of {self.program}")
        return run, output and output.read_bytes(), calls

    def trouble(self, run, clean, output, whole):
        """What is wrong with a run in which a call failed, or nothing."""
        if run is None:
            return f"no end in {TIMEOUT_S} s"
        if run.returncode < 0:
            return f"signal {-run.returncode}"
        errors = [line for line in run.stderr.splitlines() if line.startswith(b"error:")]
        if run.returncode == 0:
            if without_measurements(run.stdout) != without_measurements(clean.stdout):
                return f"status 0 and another answer: {run.stdout[:200]!r}"
            if errors:
                return "status 0 and an error line"
        elif run.returncode != 1:
            return f"status {run.returncode}"
        elif len(errors) != 1 or run.stderr.splitlines()[-1] != errors[0] or len(errors[0]) < 10:
            return f"{len(errors)} error lines"
        if output:
            files = sorted(file.name for file in output.parent.iterdir())
            if files != [output.name]:
                return f"files left: {files}"
            content = output.read_bytes()
            is_whole = without_measurements(content) == without_measurements(whole)
            if run.returncode and content.endswith(b"}\n"):  # records of which some say that their article failed
                is_whole = content.count(b"\n") == whole.count(b"\n")
            if content != OLD and not is_whole or run.returncode == 0 and content == OLD:
                return f"{output.name} is broken: {content[:100]!r}"
        return None

    def let_fail(self, name, call, clean, whole):
        """How a run with this call failing ended, and what is wrong with it, or nothing."""
        folder = self.folders.get()
        happened = folder / "happened"
        happened.unlink(missing_ok=True)
        function, number, _ = call
        run, output = self.start(folder, name, QUERN_FAULTS_FAIL=f"{function}:{number}", QUERN_FAULTS_HAPPENED=str(happened))
        trouble = self.trouble(run, clean, output, whole)
        end = "not reached" if not happened.exists() else "survived" if run and run.returncode == 0 else "refused"
        self.folders.put(folder)
        return call, end, trouble, run.stderr if run else b""

    def check(self, name, limit):
        folder = self.folders.get()
        clean, whole, calls = self.record(folder, name)
        self.folders.put(folder)
        step = max(1, -(-len(calls) // limit)) if limit else 1
        ends = collections.Counter()
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            for (function, number, frames), end, trouble, error in pool.map(
                    lambda call: self.let_fail(name, call, clean, whole), calls[::step]):
                ends[end] += 1
                self.counts[function] += 1
                if trouble:
                    self.findings += 1
                    print(f"{name}: {function} {number}: {trouble}\n  {error.decode(errors='replace')[-300:]!r}\n"
                          f"  {' '.join(self.names(frames))}", flush=True)
        print(f"{name}: {len(calls)} stacks, " + ", ".join(f"{count} {end}" for end, count in sorted(ends.items())), flush=True)

    def names(self, frames):
        """The functions of the program's own frames, innermost first."""
        addresses = [frame.split("+")[-1] for frame in frames if frame.startswith(f"{self.program}+")]
        try:
            text = subprocess.run(["addr2line", "-Cfse", self.program, *addresses[:12]], capture_output=True, text=True).stdout
        except FileNotFoundError:
            return addresses
        return [line[:100] for line in text.splitlines()[::2]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("shim", type=pathlib.Path)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--commands", nargs="*", default=[])
    options = parser.parse_args()
    start = time.time()
    with tempfile.TemporaryDirectory() as folder:
        checker = Checker(options.program.resolve(), options.shim.resolve(), pathlib.Path(folder), options.jobs)
        for name in options.commands or commands(pathlib.Path(folder)):
            checker.check(name, options.limit)
    counts = checker.counts
    print(f"{sum(counts.values())} runs in {time.time() - start:.0f} s, {checker.findings} findings: " +
          ", ".join(f"{function} {count}" for function, count in sorted(counts.items())))
    return 1 if checker.findings else 0


sys.exit(main())
