#!/usr/bin/env python3
"""Times torch's scaled_dot_product_attention at the sizes of bench/kernels/attention_bench.cc.

Append, rope and paging are not part of it; caches are contiguous. Prints microseconds per call within a CUDA graph.
"""
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

MODELS = {"llama_7b": (32, 32, 128), "gpt_350m": (16, 16, 64)}
CALLS = 20
COPIES = 8  # of keys and values, so that small ones do not stay in L1


def time_us(call):
    for i in range(3):
        call(i)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(CALLS):
            call(i)
    graph.replay()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    graph.replay()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) * 1e3 / CALLS


def random(*shape):
    return torch.randn(*shape, device="cuda", dtype=torch.float16)


def main():
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name()}")
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION):
        for model, (heads, kv_heads, head_dim) in MODELS.items():
            for tokens in (512, 2048, 8192):
                q, k, v = (random(1, heads, tokens, head_dim) for _ in range(3))
                with sdpa_kernel(backend):
                    us = time_us(lambda _: scaled_dot_product_attention(q, k, v, is_causal=True))
                tflops = 2 * tokens * tokens * heads * head_dim / us * 1e-6
                print(f"{backend.name} {model} prefill {tokens}: {us:.1f} us, {tflops:.0f} TFLOP/s")
            for batch, context in ((1, 128), (1, 2000), (32, 1000)):
                q = random(batch, heads, 1, head_dim)
                kv = [random(2, batch, kv_heads, context, head_dim) for _ in range(COPIES)]
                with sdpa_kernel(backend):
                    us = time_us(lambda i: scaled_dot_product_attention(q, *kv[i % COPIES]))
                print(f"{backend.name} {model} decode {batch} x {context}: {us:.1f} us")


if __name__ == "__main__":
    main()
