#!/usr/bin/env python3
"""Soaks `quern serve`: clients that behave, leave, stall, crawl and send garbage, beside many idle connections.

    run.py QUERN MODEL [--minutes 30] [--clients 48] [--idle 1000] [--seed 0]

Starts the server on the CPU with a KV cache that is too small for all, lets the clients at it, and samples its memory,
file descriptors and gauges. At the end all clients are gone, and it checks: no unexpected answer; no growth of memory
in the second half; gauges at 0; as many descriptors as before; SIGTERM gives exit code 0. Prints what happened as JSON;
exit code 1 where a check fails. Needs Python 3.9.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import pathlib
import random
import re
import resource
import signal
import statistics
import sys
import time

SAMPLE_SECONDS = 5.0
READ_TIMEOUT = 5  # of the server, for what crawls
ANSWER_TIMEOUT = 600
MAX_GROWTH = 0.05  # of the resident memory, from the second quarter to the last
MAX_GROWTH_BYTES = 8 << 20
# What the server may answer to requests that are good: others are findings.
GOOD = {200, 429}


class Finding(Exception):
    """Something that must not happen."""


class Soak:
    def __init__(self, arguments: argparse.Namespace):
        self.arguments = arguments
        self.random = random.Random(arguments.seed)
        self.counts: collections.Counter[str] = collections.Counter()
        self.findings: list[str] = []
        self.samples: list[dict[str, float]] = []
        self.port = 0
        self.process: asyncio.subprocess.Process | None = None
        self.ends = 0.0

    # The server.

    async def start(self) -> None:
        command = [self.arguments.quern, "serve", "-m", self.arguments.model, "--device", "cpu", "--port", "0", "--json",
                   "--quiet", "--max-seqs", "16", "--kv-cache-memory", "24MiB", "--max-queue", "64",
                   "--read-timeout", str(READ_TIMEOUT), "--shutdown-timeout", "5"]
        self.process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        line = await self.process.stdout.readline()
        if not line:
            raise Finding("the server did not start")
        self.port = int(json.loads(line)["url"].rsplit(":", 1)[1])

    def sample(self) -> dict[str, float]:
        folder = pathlib.Path(f"/proc/{self.process.pid}")
        status = (folder / "status").read_text()
        return {
            "rss_bytes": 1024 * int(re.search(r"VmRSS:\s+(\d+)", status)[1]),
            "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]),
            "descriptors": len(list((folder / "fd").iterdir())),
        }

    async def gauges(self) -> dict[str, float]:
        _, body = await self.ask(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        found = {}
        for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "num_preemptions_total"):
            found[name] = float(re.search(rf"^quern:{name}\{{[^}}]*\}} (\S+)$", body.decode(), re.M)[1])
        return found

    # Requests.

    def body(self, **more) -> dict:
        rng = self.random
        prefix = [500] * 48 if rng.random() < 0.3 else []
        fields = {
            "prompt": prefix + [rng.randrange(10, 900) for _ in range(rng.randrange(1, 200))],
            "max_tokens": rng.randrange(1, 80),
            "temperature": rng.choice([0, 0.8]),
            "stream": rng.random() < 0.7,
        }
        if rng.random() < 0.2:
            fields |= {"temperature": 1.0, "n": 2}
        if rng.random() < 0.2:
            fields["logprobs"] = 2
        return {**fields, **more}

    @staticmethod
    def request(fields: dict, path: str = "/v1/completions") -> bytes:
        body = json.dumps(fields).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    async def connect(self):
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """The status and the bytes of the whole answer."""
        reader, writer = await self.connect()
        try:
            writer.write(request)
            answer = await asyncio.wait_for(reader.read(), ANSWER_TIMEOUT)
        finally:
            writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), body

    # Clients, each of which does one thing.

    async def behave(self) -> None:
        fields = self.body()
        status, body = await self.ask(self.request(fields))
        self.counts[f"status {status}"] += 1
        if status not in GOOD:
            raise Finding(f"status {status}: {body[:300]!r}")
        if status == 200 and fields["stream"] and b"data: [DONE]" not in body:
            raise Finding(f"a stream without its end: {body[-300:]!r}")
        if b'"error"' in body and status == 200:
            raise Finding(f"an error in an answer: {body[-300:]!r}")

    async def leave(self) -> None:
        reader, writer = await self.connect()
        writer.write(self.request(self.body(max_tokens=500, ignore_eos=True)))
        await writer.drain()
        if self.random.random() < 0.5:
            await asyncio.wait_for(reader.read(100), ANSWER_TIMEOUT)
        await asyncio.sleep(self.random.random() * 0.2)
        if self.random.random() < 0.5:
            writer.transport.abort()  # a reset in place of an end
        else:
            writer.close()

    async def stall(self) -> None:
        """Asks for much and reads nothing of it."""
        _, writer = await self.connect()
        writer.transport.pause_reading()
        writer.write(self.request(self.body(max_tokens=500, ignore_eos=True, stream=True)))
        await asyncio.sleep(self.random.uniform(1, 15))
        writer.transport.abort()

    async def crawl(self) -> None:
        """Sends a request byte by byte, until the server has had enough."""
        reader, writer = await self.connect()
        for byte in self.request(self.body())[: self.random.randrange(20, 200)]:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.1)
            if reader.at_eof() or writer.transport.is_closing():
                break
        writer.close()

    async def rave(self) -> None:
        """Sends what is no request, or no good one; the answer must be an error of the client's."""
        rng = self.random
        choice = rng.randrange(7)
        if choice == 0:
            request = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 3000))) + b"\r\n\r\n"
        elif choice == 1:
            request = b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\n\r\n"
        elif choice == 2:
            request = self.request({"prompt": "a", "metadata": json.loads("[" * 90 + "]" * 90), "top_p": 7})
        elif choice == 3:
            request = b"POST /tokenize HTTP/1.1\r\nConnection: close\r\nContent-Length: 50000\r\n\r\n" + b"[" * 50000
        elif choice == 4:
            request = b"POST /tokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
        elif choice == 5:
            request = b"POST /tokenize HTTP/1.1\r\nConnection: close\r\nContent-Length: 7\r\n\r\n{\"\xff\xc3\x28\":"
        else:
            request = self.request(self.body(**{rng.choice("abcxyz"): None, "seed": 1 << 70}))
        reader, writer = await self.connect()
        writer.write(request)
        if writer.can_write_eof() and choice == 0:
            writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), ANSWER_TIMEOUT)
        writer.close()
        if answer and not re.match(rb"HTTP/1.1 4\d\d ", answer):
            raise Finding(f"to {request[:100]!r} came {answer[:200]!r}")

    async def client(self) -> None:
        actions = [self.behave, self.leave, self.stall, self.crawl, self.rave]
        weights = [10, 4, 1, 1, 4]
        while time.monotonic() < self.ends:
            action = self.random.choices(actions, weights)[0]
            self.counts[action.__name__] += 1
            try:
                await action()
            except (ConnectionError, asyncio.IncompleteReadError):
                self.counts["resets"] += 1
            except (Finding, asyncio.TimeoutError, ValueError, IndexError) as error:
                self.findings.append(f"{action.__name__}: {error!r}")
            await asyncio.sleep(self.random.random() * 0.1)

    async def stay_idle(self) -> None:
        """One connection without a request, opened anew when the server ends it."""
        while time.monotonic() < self.ends:
            try:
                reader, writer = await self.connect()
                try:
                    await asyncio.wait_for(reader.read(1), max(self.ends - time.monotonic(), 0.1))
                    self.counts["idle connections ended"] += 1
                except asyncio.TimeoutError:
                    pass
                writer.close()
            except ConnectionError:
                self.counts["resets"] += 1
                await asyncio.sleep(1)

    async def watch(self) -> None:
        while time.monotonic() < self.ends:
            self.samples.append({**self.sample(), **await self.gauges()})
            await asyncio.sleep(SAMPLE_SECONDS)

    # The end.

    def check(self, what: str, holds: bool) -> None:
        if not holds:
            self.findings.append(what)

    async def finish(self, before: dict[str, float]) -> dict[str, float]:
        for _ in range(200):
            gauges = await self.gauges()
            if not any(gauges[name] for name in list(gauges)[:3]):
                break
            await asyncio.sleep(0.1)
        for name in list(gauges)[:3]:
            self.check(f"{name} is {gauges[name]} at the end", gauges[name] == 0)
        await asyncio.sleep(3)  # lingering connections
        after = self.sample()
        # The connection that asks for metrics may still be there.
        self.check(f"{after['descriptors']} descriptors, {before['descriptors']} before",
                   after["descriptors"] <= before["descriptors"] + 2)
        self.process.send_signal(signal.SIGTERM)
        code = await self.process.wait()
        self.check(f"exit code {code}", code == 0)
        return {**after, **gauges}

    def growth(self) -> tuple[float, float]:
        quarter = max(len(self.samples) // 4, 1)
        rss = [sample["rss_bytes"] for sample in self.samples]
        return statistics.median(rss[quarter : 2 * quarter] or rss), statistics.median(rss[-quarter:])

    async def run(self) -> int:
        await self.start()
        before = self.sample()
        self.ends = time.monotonic() + 60 * self.arguments.minutes
        clients = [self.client() for _ in range(self.arguments.clients)]
        idle = [self.stay_idle() for _ in range(self.arguments.idle)]
        await asyncio.gather(*clients, *idle, self.watch())
        after = await self.finish(before)
        early, late = self.growth()
        self.check(f"memory grew from {early} to {late} bytes",
                   late - early <= max(MAX_GROWTH * early, MAX_GROWTH_BYTES))
        report = {
            "minutes": self.arguments.minutes, "counts": dict(sorted(self.counts.items())), "before": before, "after": after,
            "rss_second_quarter": early, "rss_last_quarter": late,
            "most": {name: max(sample[name] for sample in self.samples) for name in self.samples[0]},
            "findings": self.findings[:20], "num_findings": len(self.findings),
        }
        print(json.dumps(report, indent=1))
        return 1 if self.findings else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("quern")
    parser.add_argument("model")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=48)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the server inherits it
    return asyncio.run(Soak(arguments).run())


if __name__ == "__main__":
    sys.exit(main())
