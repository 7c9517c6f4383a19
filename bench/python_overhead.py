#!/usr/bin/env python3
"""python_overhead.py MODEL [TOKENS]: what the Python package costs for each generated token.

CPU time of the process for batches, streams and asynchronous streams, less that of quern_engine_generate for the same
requests: one call into C, whose loop is in C++. The device takes no time (libquern_c_instant), so that the difference is
not lost in the noise of the steps. Medians of 9 runs. With QUERN_BUILD_BENCH=ON:

    PYTHONPATH=bindings/python QUERN_C_LIBRARY=build/release/bench/libquern_c_instant.so \\
      bench/python_overhead.py examples/models/tale-llama
"""
import asyncio
import ctypes
import statistics
import sys
import time

import quern
from quern import _library as c
from quern.sampling import RequestStruct

instant = ctypes.CDLL(__import__("os").environ["QUERN_C_LIBRARY"])
c.lib.engine_load = instant.quern_instant_engine_load
c.lib.engine_load.argtypes = [ctypes.c_char_p, ctypes.POINTER(c.EngineOptions), ctypes.POINTER(ctypes.c_void_p)]
RUNS = 9


def us_per_token(run, num_seqs):
    times = []
    for _ in range(RUNS):
        begin = time.process_time()
        tokens = run(num_seqs)
        times.append((time.process_time() - begin) * 1e6 / tokens)
    return statistics.median(times)


def main(model, num_tokens=256):
    params = quern.SamplingParams(greedy=True, max_tokens=num_tokens, ignore_eos=True)
    prompts = [f"Once upon a time {index}" for index in range(64)]
    with quern.Engine(model, device="cpu", threads=1, max_seqs=64, max_seq_len=num_tokens + 32) as engine:

        def in_c(num_seqs):
            structs = [RequestStruct(prompt, params) for prompt in prompts[:num_seqs]]
            requests = (ctypes.c_void_p * num_seqs)(*(ctypes.addressof(struct.struct) for struct in structs))
            results = (ctypes.POINTER(c.Result) * num_seqs)()
            c.check(instant.quern_engine_generate(engine._handle, requests, ctypes.c_size_t(num_seqs), None, None, results))
            tokens = sum(result.contents.usage.completion_tokens for result in results)
            for result in results:
                c.lib.result_free(result)
            return tokens

        def batch(num_seqs):
            outputs = engine.generate(prompts[:num_seqs], params)
            return sum(output.num_generated_tokens for output in outputs)

        def streams(num_seqs):
            opened = [engine.stream(prompt, params) for prompt in prompts[:num_seqs]]
            return sum(len(update.token_ids) for stream in opened for update in stream)

        def asynchronous(num_seqs):
            async def tokens_of(prompt):
                return sum([len(update.token_ids) async for update in engine.astream(prompt, params)])

            async def gather():
                return await asyncio.gather(*(tokens_of(prompt) for prompt in prompts[:num_seqs]))

            return sum(asyncio.run(gather()))

        for num_seqs in (1, 8, 32, 64):
            in_c(num_seqs)
            base = us_per_token(in_c, num_seqs)
            others = (f"{run.__name__} +{us_per_token(run, num_seqs) - base:.2f}" for run in (batch, streams, asynchronous))
            print(f"{num_seqs} sequences: C {base:.2f} us a token, {', '.join(others)}")


main(sys.argv[1], *map(int, sys.argv[2:]))
