"""What a request gives: updates while it runs, and its whole output."""

from __future__ import annotations

import ctypes
import dataclasses
import struct
from typing import Iterator, NamedTuple, Optional

from . import _library as c

FINISH_REASONS: tuple[Optional[str], ...] = (None, "stop", "stop_string", "length", "context", "cancelled", "error")


class TokenLogprobs(NamedTuple):
    """Natural logarithms of the softmax of the raw logits, before any sampling parameter."""

    token_id: int
    """The chosen token."""
    logprob: float
    top: list[tuple[int, float]]
    """(token id, log-probability), best first; as many as were asked for."""


class Update(NamedTuple):
    """New output of one request after a step."""

    request_id: int
    sequence: int
    """The answer: 0 … n - 1."""
    text: str
    """New text, of whole characters: never taken back."""
    token_ids: list[int]
    finish_reason: Optional[str]
    """On the last update of an answer: "stop" (an EOS token or one of stop_token_ids), "stop_string", "length" (max_tokens),
    "context" (max_seq_len), "cancelled" or "error"."""
    last: bool
    """The request's last update: all its answers have ended."""
    error: str
    """One line where finish_reason is "error", else empty."""
    logprobs: list[TokenLogprobs]
    """One for each of token_ids, if asked for."""
    prompt_logprobs: list[TokenLogprobs]
    """All of them, in the first update, if asked for."""


@dataclasses.dataclass
class CompletionOutput:
    """One answer to a prompt."""

    index: int
    text: str
    token_ids: list[int]
    """Ends with the EOS token when one was sampled."""
    finish_reason: str
    """As Update.finish_reason."""
    error: str = ""
    """One line where finish_reason is "error", else empty; the output up to the error is kept."""
    logprobs: list[TokenLogprobs] = dataclasses.field(default_factory=list)
    score: Optional[float] = None
    """Of a beam that ended."""


@dataclasses.dataclass
class RequestOutput:
    """The whole output of a request."""

    request_id: int
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput]
    """The answers, at least one; beams: best first."""
    seed: int
    prompt_logprobs: list[TokenLogprobs]
    """One for each of prompt_token_ids but the first, if asked for."""
    num_cached_tokens: int
    """Prompt tokens that came from the prefix cache."""

    @property
    def text(self) -> str:
        """The text of the first answer."""
        return self.outputs[0].text

    @property
    def token_ids(self) -> list[int]:
        """The token ids of the first answer."""
        return self.outputs[0].token_ids

    @property
    def finish_reason(self) -> str:
        """Why the first answer ended."""
        return self.outputs[0].finish_reason

    @property
    def num_prompt_tokens(self) -> int:
        return len(self.prompt_token_ids)

    @property
    def num_generated_tokens(self) -> int:
        """Of all answers."""
        return sum(len(output.token_ids) for output in self.outputs)


def logprobs_of(logprobs: c.Logprobs) -> list[TokenLogprobs]:
    return [
        TokenLogprobs(token.id, token.logprob, [(top.id, top.logprob) for top in token.top[: token.num_top]])
        for token in logprobs.tokens[: logprobs.count]
    ]


def output_of(result: c.Result) -> RequestOutput:
    outputs = []
    for index in range(result.num_sequences):
        answer = result.sequences[index].contents
        reason = FINISH_REASONS[answer.finish_reason] or ""
        score = answer.score.value if answer.score.is_set else None
        outputs.append(
            CompletionOutput(
                index, c.text_of(answer.text), c.ids_of(answer.output_ids), reason, c.text_of(answer.error),
                logprobs_of(answer.logprobs), score,
            )
        )
    prompt_logprobs = logprobs_of(result.prompt_logprobs)
    cached = result.usage.cached_prompt_tokens
    return RequestOutput(result.id, c.ids_of(result.prompt_ids), outputs, result.seed, prompt_logprobs, cached)


# The fields of an update as they lie in memory: reading a batch as one block takes a fraction of the time that ctypes takes
# field by field. id, sequence, finish_reason, last, reserved; then (pointer, count) of token_ids, text, logprobs,
# prompt_logprobs, error.
_FIELDS = "=QiiiiQQQQQQQQQQ"
_UPDATE_BYTES = struct.calcsize(_FIELDS)
assert _UPDATE_BYTES == ctypes.sizeof(c.Update)


class UpdateReader:
    """Reads the updates of a step."""

    def __init__(self) -> None:
        self._structs: dict[int, struct.Struct] = {}

    def fields(self, updates: c.Updates) -> Iterator[tuple[int, ...]]:
        """The fields of each update, for update_of(); valid until the next step."""
        stride: int = updates.stride
        layout = self._structs.get(stride)
        if layout is None:  # a newer library may have more fields
            layout = self._structs[stride] = struct.Struct(f"{_FIELDS}{stride - _UPDATE_BYTES}x")
        return layout.iter_unpack(ctypes.string_at(updates.first, updates.count * stride))


_new_tuple, _string_at, _int_of = tuple.__new__, ctypes.string_at, int.from_bytes


def update_of(fields: tuple[int, ...]) -> Update:
    (request_id, sequence, reason, last, _, ids, num_ids, text, text_bytes, logprobs, num_logprobs,
     prompt_logprobs, num_prompt_logprobs, error, error_bytes) = fields
    if num_ids == 1:
        token_ids = [_int_of(_string_at(ids, 4), "little", signed=True)]
    else:
        token_ids = list(struct.unpack(f"={num_ids}i", _string_at(ids, 4 * num_ids))) if num_ids else []
    return _new_tuple(Update, (  # half the time of Update(…)
        request_id, sequence, _string_at(text, text_bytes).decode() if text_bytes else "", token_ids,
        FINISH_REASONS[reason], last != 0, _string_at(error, error_bytes).decode() if error_bytes else "",
        _logprobs_at(logprobs, num_logprobs) if num_logprobs else [],
        _logprobs_at(prompt_logprobs, num_prompt_logprobs) if num_prompt_logprobs else [],
    ))


def _logprobs_at(address: int, count: int) -> list[TokenLogprobs]:
    tokens = ctypes.cast(ctypes.c_void_p(address), ctypes.POINTER(c.TokenLogprobs))
    return logprobs_of(c.Logprobs(tokens, count))
