"""Options of an engine, to C and back."""

from __future__ import annotations

import ctypes
from typing import Any, Callable, Optional, Sequence

from . import _library as c
from .errors import InvalidArgumentError
from .facts import DTYPES
from .sampling import choice, integer

LoadCallback = Callable[[int, int], None]
"""Called with the bytes that are loaded and their total. An exception ends the load."""

_Names = Sequence[Optional[str]]
_CHOICES: dict[str, _Names] = {  # by number; None is what the caller cannot ask for
    "device": ("auto", "cpu", "cuda"),
    "dtype": DTYPES,
    "quantize": DTYPES,
    "quantize_activations": ("off", "checkpoint", "int8", "token"),
    "kv_cache_dtype": ("auto", "int8", "fp8", "k16v8"),
    "kv_reservation": (None, "full", "grow"),
    "device_loop": ("auto", "off", "require"),
}
_INTEGERS = ("threads", "max_seqs", "max_seq_len", "max_tokens_per_step", "max_mixed_tokens", "skip_steps", "check_interval")


def engine_options(**options: Any) -> c.EngineOptions:
    """Errors: InvalidArgumentError for what no engine takes; the rest the engine checks."""
    struct = c.EngineOptions(ctypes.sizeof(c.EngineOptions))
    for name, choices in _CHOICES.items():
        value = options[name]
        if choices is DTYPES and value in (None, "auto"):
            continue
        if value is None or value not in choices:
            expected = ", ".join(known for known in choices if known)
            raise InvalidArgumentError(f"'{name}': expected one of {expected}, got {value!r}")
        setattr(struct, name, choices.index(value))
    for name in _INTEGERS:
        setattr(struct, name, integer(options[name], name))
    if options["device_index"] is not None:
        struct.device_index = c.OptionalInt(1, integer(options["device_index"], "device_index"))
    memory = options["kv_cache_memory_bytes"]
    struct.kv_cache_memory_bytes = integer(memory, "kv_cache_memory_bytes", low=0, high=2**64 - 1)
    struct.prefix_cache = choice(options["prefix_cache"])
    struct.deterministic = choice(options["deterministic"])
    return struct


def options_of(struct: c.EngineOptions) -> dict[str, Any]:
    """The options by name, with the values that Engine() takes."""
    options: dict[str, Any] = {name: choices[getattr(struct, name)] for name, choices in _CHOICES.items()}
    options.update({name: getattr(struct, name) for name in _INTEGERS})
    options["device_index"] = struct.device_index.value if struct.device_index.is_set else None
    options["kv_cache_memory_bytes"] = struct.kv_cache_memory_bytes
    options["prefix_cache"] = struct.prefix_cache == 1
    options["deterministic"] = struct.deterministic == 1
    return options
