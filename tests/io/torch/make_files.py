#!/usr/bin/env python3
"""Writes the files of this folder with PyTorch and safetensors: the same tensors as torch.save writes them today
(zip.bin), as it wrote them before version 1.6 (legacy.bin), and their values row-major (expected.safetensors)."""
import collections
import pathlib

import torch
from safetensors.torch import save_file

here = pathlib.Path(__file__).parent
torch.manual_seed(1)
base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
tensors = {
    "float32": torch.randn(3, 5),
    "float16": torch.randn(3, 5).half(),
    "bfloat16": torch.randn(3, 5).bfloat16(),
    "float64": torch.randn(2, 3, dtype=torch.float64),
    "int64": torch.arange(5) - 2,
    "int32": torch.arange(5, dtype=torch.int32),
    "uint8": torch.arange(5, dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 7),
    "parameter": torch.nn.Parameter(torch.randn(2, 2)),
    "shared": base,
    "rows": base[1:3],
    "transposed": base.t(),
    "columns": base[:, 2:4],
    "expanded": torch.tensor([[1.0], [2.0]]).expand(2, 3),
    "one_column": base[:, :1],
}
state = collections.OrderedDict(tensors)
state._metadata = {"": {"version": 1}}
state["not_a_tensor"] = [1, -2, 70000, 1 << 40, -(1 << 33), 0.5, None, True, "text", (), {"a": {}}, torch.Size([1])]
torch.save(state, here / "zip.bin")
torch.save(state, here / "legacy.bin", _use_new_zipfile_serialization=False)
save_file({name: value.detach().clone().contiguous() for name, value in tensors.items()}, here / "expected.safetensors")
