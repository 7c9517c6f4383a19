"""Facts of models and engines."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple, Optional

from . import _library as c
from .tokenizer import PathLike

DTYPES: tuple[Optional[str], ...] = (None, "float32", "float16", "bfloat16", "int32", "int64", "uint8", "float8_e4m3", "uint4")


class ModelInfo(NamedTuple):
    """Facts of a checkpoint; the names are those of its config."""

    name: str
    """The folder, or the shape of random weights."""
    folder: str
    model_type: str
    random_weights: bool
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    dtype: Optional[str]
    """Of the checkpoint."""
    num_parameters: int
    eos_token_ids: list[int]


class MemoryPlan(NamedTuple):
    """Planned bytes."""

    weight_bytes: int
    kv_cache_bytes: int
    activation_bytes: int
    workspace_bytes: int
    step_input_bytes: int
    recording_bytes: int
    total_bytes: int
    num_kv_blocks: int
    kv_block_tokens: int
    num_recordings: int
    kv_scale_bytes: int
    """Of kv_cache_bytes."""


class Timing(NamedTuple):
    """Counters and times since load (without load_ms)."""

    load_ms: float
    time_to_first_token_ms: float
    """Of the latest generation."""
    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    total_ms: float
    """Spent in steps."""
    prefill_tokens: int
    cached_prompt_tokens: int
    decode_tokens: int
    steps_run: int
    stop_checks: int
    host_syncs: int
    peak_memory_bytes: int
    device_loop: bool
    """The latest decode steps ran in a loop on the device."""


def named_tuple_of(kind: Any, struct: Any) -> Any:
    """A struct's fields of the same names."""
    return kind(*(getattr(struct, name) for name in kind._fields))


def model_info_of(info: Any) -> ModelInfo:
    numbers = {name: getattr(info, name) for name in ModelInfo._fields[4:12]}
    return ModelInfo(
        name=c.text_of(info.name), folder=c.text_of(info.folder), model_type=c.text_of(info.model_type),
        random_weights=info.random_weights != 0, **numbers, dtype=DTYPES[info.checkpoint_dtype],
        num_parameters=info.num_parameters, eos_token_ids=c.ids_of(info.eos_token_ids),
    )


def read_model_info(model: PathLike) -> ModelInfo:
    """The facts of a folder, or of ``org/name`` in the local cache, from the headers of its files alone."""
    info = ctypes.POINTER(c.ModelInfo)()
    c.check(c.lib.model_info_read(c.path_bytes(model), ctypes.byref(info)))
    try:
        return model_info_of(info.contents)
    finally:
        c.lib.model_info_free(info)
