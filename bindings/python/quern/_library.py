"""The C library: its functions, as include/quern/c declares them, and values for them."""

from __future__ import annotations

import ctypes
import operator
import os
import pathlib
from ctypes import POINTER, c_char_p, c_int, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any, Iterable, Optional

from ._structs import (
    AnswerDelta as AnswerDelta,
    AnswerOptions as AnswerOptions,
    ChatInput as ChatInput,
    ChatVariable as ChatVariable,
    EncodeOptions as EncodeOptions,
    EngineOptions as EngineOptions,
    LOAD_CALLBACK as LOAD_CALLBACK,
    LOG_SINK as LOG_SINK,
    LogitBias as LogitBias,
    LOGITS_CALLBACK as LOGITS_CALLBACK,
    Logprobs as Logprobs,
    MemoryPlan as MemoryPlan,
    ModelInfo as ModelInfo,
    OptionalFloat as OptionalFloat,
    OptionalInt as OptionalInt,
    OptionalUint64 as OptionalUint64,
    RandomModel as RandomModel,
    RenderedChat as RenderedChat,
    Request as Request,
    Result as Result,
    SamplingParams as SamplingParams,
    SequenceResult as SequenceResult,
    String as String,
    TextRange as TextRange,
    Timing as Timing,
    TokenIds as TokenIds,
    TokenLogprob as TokenLogprob,
    TokenLogprobs as TokenLogprobs,
    ToolCall as ToolCall,
    Update as Update,
    Updates as Updates,
    Usage as Usage,
)
from .errors import BY_STATUS, InternalError, InvalidArgumentError, QuernError

ABI_VERSION = 1

_STATUS, _HANDLE, _OUT, _IDS_OUT = c_int32, c_void_p, POINTER(c_void_p), [POINTER(c_void_p), POINTER(c_size_t)]

# name: (result type, argument types)
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "last_error": (c_char_p, []),
    "abi_version": (c_uint32, []),
    "version": (c_char_p, []),
    "commit": (c_char_p, []),
    "free": (None, [c_void_p]),
    "set_log_sink": (_STATUS, [LOG_SINK, c_void_p]),
    "finish_reason_name": (c_char_p, [c_int32]),
    "result_free": (None, [POINTER(Result)]),
    "engine_load": (_STATUS, [c_char_p, POINTER(EngineOptions), _OUT]),
    "engine_load_random": (_STATUS, [POINTER(RandomModel), POINTER(EngineOptions), _OUT]),
    "engine_free": (None, [_HANDLE]),
    "engine_submit": (_STATUS, [_HANDLE, POINTER(Request), POINTER(c_uint64)]),
    "engine_step": (_STATUS, [_HANDLE, POINTER(Updates)]),
    "engine_busy": (c_int, [_HANDLE]),
    "engine_cancel": (None, [_HANDLE, c_uint64]),
    "engine_take_result": (_STATUS, [_HANDLE, c_uint64, POINTER(POINTER(Result))]),
    "engine_logits_rows": (_STATUS, [_HANDLE, c_void_p, c_size_t, c_size_t, LOGITS_CALLBACK, c_void_p]),
    "engine_tokenizer": (c_void_p, [_HANDLE]),
    "engine_info": (POINTER(ModelInfo), [_HANDLE]),
    "engine_get_options": (_STATUS, [_HANDLE, POINTER(EngineOptions)]),
    "engine_memory_plan": (_STATUS, [_HANDLE, POINTER(MemoryPlan)]),
    "engine_timing": (_STATUS, [_HANDLE, POINTER(Timing)]),
    "model_info_read": (_STATUS, [c_char_p, POINTER(POINTER(ModelInfo))]),
    "model_info_free": (None, [POINTER(ModelInfo)]),
    "tokenizer_load": (_STATUS, [c_char_p, _OUT]),
    "tokenizer_free": (None, [_HANDLE]),
    "tokenizer_encode": (_STATUS, [_HANDLE, String, POINTER(EncodeOptions), *_IDS_OUT]),
    "tokenizer_decode": (_STATUS, [_HANDLE, c_void_p, c_size_t, c_int32, *_IDS_OUT]),
    "tokenizer_token_bytes": (_STATUS, [_HANDLE, c_int32, *_IDS_OUT]),
    "tokenizer_token_to_id": (_STATUS, [_HANDLE, String, POINTER(c_int32)]),
    "tokenizer_is_special": (_STATUS, [_HANDLE, c_int32, POINTER(c_int32)]),
    "tokenizer_vocab_size": (_STATUS, [_HANDLE, POINTER(c_int32)]),
    "tokenizer_bos_id": (_STATUS, [_HANDLE, POINTER(c_int32)]),
    "tokenizer_eos_ids": (_STATUS, [_HANDLE, *_IDS_OUT]),
    "tokenizer_description": (_STATUS, [_HANDLE, _OUT]),
    "chat_template_load": (_STATUS, [c_char_p, c_char_p, c_int32, _OUT]),
    "chat_template_parse": (_STATUS, [String, c_char_p, _OUT]),
    "chat_template_free": (None, [_HANDLE]),
    "chat_template_name": (String, [_HANDLE]),
    "chat_template_source": (String, [_HANDLE]),
    "chat_template_render": (_STATUS, [_HANDLE, POINTER(ChatInput), POINTER(POINTER(RenderedChat))]),
    "rendered_chat_free": (None, [POINTER(RenderedChat)]),
    "chat_template_encode": (_STATUS, [_HANDLE, _HANDLE, POINTER(RenderedChat), c_int32, *_IDS_OUT]),
    "chat_template_tool_calls": (c_int32, [_HANDLE]),
    "answer_parser_create": (_STATUS, [POINTER(AnswerOptions), _OUT]),
    "answer_parser_free": (None, [_HANDLE]),
    "answer_parser_push": (_STATUS, [_HANDLE, String, POINTER(POINTER(AnswerDelta))]),
    "answer_parser_finish": (_STATUS, [_HANDLE, POINTER(POINTER(AnswerDelta))]),
}


class Functions:
    """The functions without their prefix ``quern_``. A call releases the GIL."""

    def __init__(self, library: ctypes.CDLL) -> None:
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, "quern_" + name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:  # only for what is not there: all functions are attributes
        raise AttributeError(name)


def _load() -> Functions:
    name = f"libquern_c.so.{ABI_VERSION}"
    given = os.environ.get("QUERN_C_LIBRARY")
    inside = pathlib.Path(__file__).resolve().parent / "lib" / name
    path = given or (str(inside) if inside.exists() else name)
    try:
        functions = Functions(ctypes.CDLL(path))  # RTLD_LOCAL: its names meet nobody else's
    except OSError as error:
        places = f"QUERN_C_LIBRARY, {inside}, the loader's folders"
        raise ImportError(f"cannot load {path}: {error} (looked in: {places})") from None
    if functions.abi_version() != ABI_VERSION:
        raise ImportError(f"{path}: expected ABI version {ABI_VERSION}, got {functions.abi_version()}")
    return functions


lib = _load()


def check(status: int) -> None:
    """Raises the error of a call of this thread that did not return 0."""
    if status != 0:
        raise error_of(status, (lib.last_error() or b"").decode("utf-8", "replace"))


def error_of(status: int, message: str) -> QuernError:
    return BY_STATUS.get(status, InternalError)(message)


def text_of(string: String) -> str:
    return ctypes.string_at(string.data, string.size).decode("utf-8", "replace") if string.size else ""


def bytes_of(text: str) -> bytes:
    """Text in UTF-8. A lone surrogate becomes bytes that are not UTF-8, which the engine refuses, naming the place."""
    return text.encode("utf-8", "surrogatepass")


def c_string(data: bytes) -> String:
    """A view of `data`, which must live as long."""
    return String(ctypes.cast(ctypes.c_char_p(data), c_void_p), len(data))


def path_bytes(path: Any) -> bytes:
    """A path or name for an argument that ends in a NUL."""
    data = os.fsencode(path)
    if b"\0" in data:
        raise InvalidArgumentError(f"expected a path without NUL bytes, got {path!r}")
    return data


def ids_of(ids: TokenIds) -> list[int]:
    if not ids.count:
        return []
    return list((c_int32 * ids.count).from_address(ids.ids))


def id_array(ids: Iterable[int]) -> Any:
    """An array for C, of integers and NumPy's. Errors: InvalidArgumentError for what is no integer of 32 bits."""
    try:
        checked = [operator.index(token_id) for token_id in ids]
    except TypeError:
        raise InvalidArgumentError(f"expected token ids, got {ids!r}") from None
    for token_id in checked:
        if not -(2**31) <= token_id < 2**31:
            raise InvalidArgumentError(f"token id {token_id}: expected an integer of 32 bits")
    return (c_int32 * len(checked))(*checked)


def take_ids(pointer: c_void_p, count: int) -> list[int]:
    """Ids in memory of the library, which is freed."""
    try:
        return list((c_int32 * count).from_address(pointer.value)) if pointer.value and count else []
    finally:
        lib.free(pointer)


def take_bytes(pointer: c_void_p, size: Optional[int] = None) -> bytes:
    """Bytes in memory of the library, which is freed; without a size up to the NUL."""
    try:
        return ctypes.string_at(pointer.value, -1 if size is None else size) if pointer.value else b""
    finally:
        lib.free(pointer)

