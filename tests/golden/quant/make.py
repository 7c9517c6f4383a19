#!/usr/bin/env python3
"""Writes the quantized model folders beside this file, and the inputs of tests/fuzz/quant_fuzz.cc: make.py

Each is a tiny LLaMA with random weights, config.json, model.safetensors, and expected.json with the SHA-256 of every
dequantized matrix: float32, little-endian, row-major, -0.0 as +0.0. The integers, zero points and scales come first; the
matrix scale * (q - z) is computed from them and not from what was packed, so that it checks a reader's unpacking. Layouts
as in AutoGPTQ, AutoAWQ, compressed-tensors and transformers' FP8Linear.
"""

import hashlib
import json
import pathlib
import struct

import numpy as np

HIDDEN, WIDTH, HEADS, KV_HEADS, VOCAB = 32, 48, 4, 2, 40
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": VOCAB,
    "hidden_size": HIDDEN,
    "intermediate_size": WIDTH,
    "num_hidden_layers": 1,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "torch_dtype": "float16",
    "bos_token_id": None,
    "eos_token_id": None,
}
LAYER = "model.layers.0."
MODULES = {
    LAYER + "self_attn.q_proj": (HIDDEN, HIDDEN),
    LAYER + "self_attn.k_proj": (HIDDEN // 2, HIDDEN),
    LAYER + "self_attn.v_proj": (HIDDEN // 2, HIDDEN),
    LAYER + "self_attn.o_proj": (HIDDEN, HIDDEN),
    LAYER + "mlp.gate_proj": (WIDTH, HIDDEN),
    LAYER + "mlp.up_proj": (WIDTH, HIDDEN),
    LAYER + "mlp.down_proj": (HIDDEN, WIDTH),
}
AWQ_COLUMNS = [0, 2, 4, 6, 1, 3, 5, 7]
DTYPES = {"float16": "F16", "float32": "F32", "int32": "I32", "int64": "I64", "int8": "I8"}


def write_safetensors(path, tensors):
    """`tensors`: name -> numpy array, or (safetensors dtype, shape, bytes)."""
    header, data = {}, b""
    for name, tensor in sorted(tensors.items()):
        if isinstance(tensor, np.ndarray):
            tensor = (DTYPES[str(tensor.dtype)], list(tensor.shape), tensor.tobytes())
        dtype, shape, raw = tensor
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def pack(numbers, bits, axis):
    """int32 words of unsigned numbers along an axis, the lowest bits first, the last word padded."""
    numbers = np.moveaxis(numbers, axis, -1).astype(np.int64)
    in_word = 32 // bits
    padded = np.zeros(numbers.shape[:-1] + (-(-numbers.shape[-1] // in_word) * in_word,), np.int64)
    padded[..., : numbers.shape[-1]] = numbers
    words = padded.reshape(padded.shape[:-1] + (-1, in_word))
    packed = sum(words[..., i] << (bits * i) for i in range(in_word))
    return np.moveaxis(packed.astype(np.uint32).view(np.int32), -1, axis)


def bfloat16(values):
    """Rounded to bfloat16 by cutting: bits, and the float32 values that they are."""
    bits = (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return bits, (bits.astype(np.uint32) << 16).view(np.float32)


def float8(bits):
    """The value of E4M3 bits."""
    sign = -1.0 if bits & 0x80 else 1.0
    exponent, mantissa = bits >> 3 & 15, bits & 7
    return sign * (mantissa * 2.0**-9 if exponent == 0 else (8 + mantissa) * 2.0 ** (exponent - 10))


class Matrix:
    """Random integers with scales: float16 by row and group of inputs."""

    def __init__(self, rng, shape, bits, group, symmetric, zeros=None, groups=None):
        self.rows, self.inputs = shape
        self.bits = bits
        self.group = self.inputs if group == -1 else group
        self.num_groups = -(-self.inputs // self.group)
        half = 1 << (bits - 1)
        self.q = rng.integers(0, 2 * half, shape)
        self.scales = (rng.uniform(0.5, 1.5, (self.rows, self.num_groups)) * 0.3 / half).astype(np.float16)
        self.z = np.full((self.rows, self.num_groups), half)
        if not symmetric:
            self.z = rng.integers(0, 2 * half, self.z.shape) if zeros is None else zeros(self.z.shape)
        self.groups = np.arange(self.inputs) // self.group if groups is None else groups
        self.weight = self.scales.astype(np.float32)[:, self.groups] * (self.q - self.z[:, self.groups]).astype(
            np.float32
        )


def gptq(rng, module, shape, bits=4, group=16, symmetric=True, version=1, order=None, zeros=None):
    groups = None
    if order is not None:
        groups = order(rng, shape[1], group)
    m = Matrix(rng, shape, bits, group, symmetric, zeros, groups)
    stored = (m.z - 1) % (1 << bits) if version == 1 else m.z
    return m.weight, {
        module + ".qweight": pack(m.q.T, bits, 0),
        module + ".qzeros": pack(stored.T, bits, 1),
        module + ".scales": np.ascontiguousarray(m.scales.T),
        module + ".g_idx": m.groups.astype(np.int32),
    }


def awq(rng, module, shape, group=16):
    m = Matrix(rng, shape, 4, group, False)
    order = np.concatenate([8 * c + np.array(AWQ_COLUMNS) for c in range(shape[0] // 8)])
    return m.weight, {
        module + ".qweight": pack(m.q.T[:, order], 4, 1),
        module + ".qzeros": pack(m.z.T[:, order], 4, 1),
        module + ".scales": np.ascontiguousarray(m.scales.T),
    }


def packed(rng, module, shape, bits=4, group=16, symmetric=True, actorder=False):
    groups = random_order(rng, shape[1], group) if actorder else None
    m = Matrix(rng, shape, bits, group, symmetric, None, groups)
    tensors = {
        module + ".weight_packed": pack(m.q, bits, 1),
        module + ".weight_scale": m.scales,
        module + ".weight_shape": np.array(shape, np.int64),
    }
    if not symmetric:
        tensors[module + ".weight_zero_point"] = pack(m.z, bits, 0)
    if actorder:
        tensors[module + ".weight_g_idx"] = m.groups.astype(np.int32)
    return m.weight, tensors


def int8(rng, module, shape, strategy="channel", symmetric=True):
    q = rng.integers(-128, 128, shape).astype(np.int8)
    count = 1 if strategy == "tensor" else shape[0]
    scales = (rng.uniform(0.5, 1.5, (count, 1)) * 0.002).astype(np.float16)
    z = np.zeros((count, 1), np.int8) if symmetric else rng.integers(-128, 128, (count, 1)).astype(np.int8)
    weight = scales.astype(np.float32) * (q.astype(np.float32) - z.astype(np.float32))
    tensors = {
        module + ".weight": q,
        module + ".weight_scale": scales[0] if strategy == "tensor" else scales,
    }
    if not symmetric:
        tensors[module + ".weight_zero_point"] = z
    return weight, tensors


def fp8(rng, module, shape, block=None, dtype="F32", name="weight_scale_inv"):
    """`block`: rows and inputs of a scale; None: one scale for all; (1, 0): one a row."""
    bits = rng.integers(0, 256, shape)
    bits[(bits & 0x7F) == 0x7F] = 0x08
    values = np.vectorize(float8)(bits).astype(np.float32)
    rows, inputs = block or shape
    rows, inputs = rows or shape[0], inputs or shape[1]
    grid = (-(-shape[0] // rows), -(-shape[1] // inputs))
    scales = (rng.uniform(0.5, 1.5, grid) * 0.001).astype(np.float32)
    raw = scales.tobytes()
    if dtype == "BF16":
        stored, scales = bfloat16(scales)
        raw = stored.tobytes()
    spread = np.repeat(np.repeat(scales, rows, 0), inputs, 1)[: shape[0], : shape[1]]
    scale_shape = [] if block is None else list(grid)
    return values * spread, {
        module + ".weight": ("F8_E4M3", list(shape), bits.astype(np.uint8).tobytes()),
        module + "." + name: (dtype, scale_shape, raw),
    }


def random_order(rng, inputs, group):
    return rng.permutation(np.arange(inputs) // group)


def uneven_groups(rng, inputs, group):
    return rng.integers(0, -(-inputs // group), inputs)


def float16(rng, module, shape):
    weight = (rng.standard_normal(shape) * 0.15).astype(np.float16)
    return weight.astype(np.float32), {module + ".weight": weight}


def gptq_config(**keys):
    return {"quant_method": "gptq", "bits": 4, "group_size": 16, "desc_act": False, "sym": True, **keys}


def ct_config(fmt, groups, **keys):
    return {
        "quant_method": "compressed-tensors",
        "format": fmt,
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": ["lm_head"],
        **keys,
    }


def ct_group(targets=("Linear",), fmt=None, **weights):
    group = {"targets": list(targets), "weights": {"num_bits": 4, "type": "int", "symmetric": True, **weights}}
    if fmt:
        group["format"] = fmt
    return group


def only(names, made, other):
    """`made` for modules that end with one of these names, `other` for the rest."""
    return lambda rng, module, shape: (made if module.endswith(names) else other)(rng, module, shape)


def with_options(maker, **options):
    return lambda rng, module, shape: maker(rng, module, shape, **options)


CASES = {
    "gptq4-v1-asym": (gptq_config(sym=False), with_options(gptq, symmetric=False)),
    "gptq4-v1-zero-points-0": (
        gptq_config(sym=False),
        with_options(gptq, symmetric=False, zeros=lambda shape: np.arange(np.prod(shape)).reshape(shape) % 3),
    ),
    "gptq4-v2-asym-channel": (
        gptq_config(sym=False, group_size=-1, checkpoint_format="gptq_v2"),
        with_options(gptq, symmetric=False, group=-1, version=2),
    ),
    "gptq4-desc_act": (gptq_config(desc_act=True), with_options(gptq, order=random_order)),
    "gptq4-uneven-groups": (
        gptq_config(desc_act=True, sym=False),
        with_options(gptq, order=uneven_groups, symmetric=False),
    ),
    "gptq8-v1-asym": (gptq_config(bits=8, sym=False), with_options(gptq, bits=8, symmetric=False)),
    "gptq8-v2-desc_act": (
        gptq_config(bits=8, desc_act=True, checkpoint_format="gptq_v2"),
        with_options(gptq, bits=8, order=random_order, version=2),
    ),
    "gptq4-dynamic": (
        gptq_config(dynamic={"+:.*v_proj": {"bits": 8, "group_size": -1}, "-:.*up_proj": {}}),
        only(("v_proj",), with_options(gptq, bits=8, group=-1), only(("up_proj",), float16, gptq)),
    ),
    "awq-g16": (
        {"quant_method": "awq", "bits": 4, "group_size": 16, "zero_point": True, "version": "GEMM",
         "modules_to_not_convert": ["mlp.down_proj"]},
        only(("down_proj",), float16, awq),
    ),
    "ct-w8a16-asym-g24": (
        ct_config("pack-quantized", {"group_0": ct_group(num_bits=8, symmetric=False, strategy="group", group_size=24)}),
        with_options(packed, bits=8, group=24, symmetric=False),
    ),
    "ct-w4a16-asym-actorder": (
        ct_config(
            "pack-quantized",
            {"group_0": ct_group(symmetric=False, strategy="group", group_size=16, actorder="group")},
        ),
        with_options(packed, symmetric=False, actorder=True),
    ),
    "ct-int8-asym-tensor": (
        ct_config("int-quantized", {"group_0": ct_group(num_bits=8, symmetric=False, strategy="tensor")}),
        with_options(int8, strategy="tensor", symmetric=False),
    ),
    "ct-fp8-tensor": (
        ct_config("float-quantized", {"group_0": ct_group(num_bits=8, type="float", strategy="tensor")}),
        lambda rng, module, shape: fp8(rng, module, shape, (0, 0), name="weight_scale"),
    ),
    "ct-mixed": (
        ct_config(
            "mixed-precision",
            {
                "group_0": ct_group(("Linear",), "pack-quantized", strategy="group", group_size=16),
                "group_1": ct_group(("re:.*k_proj",), "int-quantized", num_bits=8, strategy="channel"),
                "group_2": ct_group(
                    (LAYER + "mlp.gate_proj",), "float-quantized", num_bits=8, type="float", strategy="channel"
                ),
            },
            ignore=["lm_head", "re:.*down_proj$"],
        ),
        only(
            ("k_proj",),
            int8,
            only(
                ("gate_proj",),
                with_options(fp8, block=(1, 0), name="weight_scale"),
                only(("down_proj",), float16, packed),
            ),
        ),
    ),
    "fp8-blocks": (
        {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [12, 20]},
        with_options(fp8, block=(12, 20)),
    ),
    "fp8-blocks-bf16": (
        {"quant_method": "fp8", "weight_block_size": [16, 16], "modules_to_not_convert": ["lm_head"]},
        with_options(fp8, block=(16, 16), dtype="BF16"),
    ),
    "fp8-tensor": ({"quant_method": "fp8", "activation_scheme": "dynamic"}, fp8),
}


def write_case(folder, quantization, maker, seed):
    rng = np.random.default_rng(seed)
    tensors = {
        "model.embed_tokens.weight": (rng.standard_normal((VOCAB, HIDDEN)) * 0.5).astype(np.float16),
        "lm_head.weight": (rng.standard_normal((VOCAB, HIDDEN)) * 0.5).astype(np.float16),
    }
    for name in ("model.norm", LAYER + "input_layernorm", LAYER + "post_attention_layernorm"):
        tensors[name + ".weight"] = rng.uniform(0.8, 1.2, HIDDEN).astype(np.float16)
    hashes = {}
    for module, shape in MODULES.items():
        weight, own = maker(rng, module, shape)
        tensors.update(own)
        plain = np.ascontiguousarray(weight.astype("<f4") + np.float32(0))  # -0.0 becomes +0.0
        hashes[module] = hashlib.sha256(plain.tobytes()).hexdigest()
    folder.mkdir(exist_ok=True)
    write_safetensors(folder / "model.safetensors", tensors)
    (folder / "config.json").write_text(json.dumps({**CONFIG, "quantization_config": quantization}, indent=1) + "\n")
    (folder / "expected.json").write_text(json.dumps({"dequantised_sha256": hashes}, indent=1) + "\n")


def write_fuzz_input(path, quantization, maker, seed):
    """The config's length in two bytes, its text, and a safetensors file of a module m of [32, 48]."""
    _, tensors = maker(np.random.default_rng(seed), "m", (HIDDEN, WIDTH))
    text = json.dumps(quantization).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(path, tensors)
    path.write_bytes(struct.pack("<H", len(text)) + text + path.read_bytes())


def main():
    here = pathlib.Path(__file__).resolve().parent
    for seed, (name, (quantization, maker)) in enumerate(CASES.items()):
        write_case(here / name, quantization, maker, seed)
        write_fuzz_input(here.parents[1] / "fuzz/corpus/quant" / name, quantization, maker, seed)


if __name__ == "__main__":
    main()
