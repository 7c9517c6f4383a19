"""Text to token ids and back."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Iterable, Optional, Union

from . import _library as c
from .sampling import choice, integer

PathLike = Union[str, "os.PathLike[str]"]


class Tokenizer:
    """The tokenizer of a model folder, or of ``org/name`` in the local Hugging Face cache. Threads may share it."""

    def __init__(self, model: PathLike) -> None:
        handle = ctypes.c_void_p()
        c.check(c.lib.tokenizer_load(c.path_bytes(model), ctypes.byref(handle)))
        self._handle: Any = handle
        self._owner: Any = None

    @classmethod
    def _of(cls, handle: int, owner: Any) -> "Tokenizer":
        """A view of an engine's tokenizer; keeps the engine alive."""
        tokenizer = cls.__new__(cls)
        tokenizer._handle, tokenizer._owner = ctypes.c_void_p(handle), owner
        return tokenizer

    def __del__(self) -> None:
        if getattr(self, "_handle", None) and self._owner is None:
            c.lib.tokenizer_free(self._handle)

    def encode(self, text: str, *, add_bos: Optional[bool] = None, parse_special: bool = True, max_tokens: int = 0) -> list[int]:
        """The ids of a text. ``add_bos``: None as the tokenizer's files say. A text of more than max_tokens ids is an
        error; 0: no limit."""
        data, limit = c.bytes_of(text), integer(max_tokens, "max_tokens", low=0)
        options = c.EncodeOptions(ctypes.sizeof(c.EncodeOptions), choice(parse_special), choice(add_bos), limit)
        ids, count = ctypes.c_void_p(), ctypes.c_size_t()
        c.check(c.lib.tokenizer_encode(self._live(), c.c_string(data), options, ctypes.byref(ids), ctypes.byref(count)))
        return c.take_ids(ids, count.value)

    def decode(self, token_ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """The text of the ids; ill-formed UTF-8 becomes U+FFFD."""
        array = c.id_array(token_ids)
        text, size = ctypes.c_void_p(), ctypes.c_size_t()
        c.check(
            c.lib.tokenizer_decode(
                self._live(), ctypes.addressof(array), len(array), skip_special_tokens, ctypes.byref(text), ctypes.byref(size)
            )
        )
        return c.take_bytes(text, size.value).decode()

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that one id adds to a running text."""
        data, size = ctypes.c_void_p(), ctypes.c_size_t()
        c.check(c.lib.tokenizer_token_bytes(self._live(), token_id, ctypes.byref(data), ctypes.byref(size)))
        return c.take_bytes(data, size.value)

    def token_to_id(self, token: str) -> Optional[int]:
        """The id of a token by its written form, special or not."""
        data, token_id = c.bytes_of(token), ctypes.c_int32()
        c.check(c.lib.tokenizer_token_to_id(self._live(), c.c_string(data), ctypes.byref(token_id)))
        return None if token_id.value < 0 else token_id.value

    def is_special(self, token_id: int) -> bool:
        """Whether ``skip_special_tokens`` leaves it out."""
        return self._integer(c.lib.tokenizer_is_special, token_id) != 0

    @property
    def vocab_size(self) -> int:
        """One more than the largest id that the tokenizer names."""
        return self._integer(c.lib.tokenizer_vocab_size)

    @property
    def bos_token_id(self) -> Optional[int]:
        token_id = self._integer(c.lib.tokenizer_bos_id)
        return None if token_id < 0 else token_id

    @property
    def eos_token_ids(self) -> list[int]:
        """Those of the tokenizer's own files; ModelInfo.eos_token_ids has the model's."""
        ids, count = ctypes.c_void_p(), ctypes.c_size_t()
        c.check(c.lib.tokenizer_eos_ids(self._live(), ctypes.byref(ids), ctypes.byref(count)))
        return c.take_ids(ids, count.value)

    def __repr__(self) -> str:
        text = ctypes.c_void_p()
        c.check(c.lib.tokenizer_description(self._live(), ctypes.byref(text)))
        return f"<quern.Tokenizer: {c.take_bytes(text).decode()}>"

    def _live(self) -> Any:
        if self._owner is not None:
            self._owner._live()
        return self._handle

    def _integer(self, function: Any, *arguments: int) -> int:
        value = ctypes.c_int32()
        c.check(function(self._live(), *arguments, ctypes.byref(value)))
        return value.value
