"""How a prompt is continued."""

from __future__ import annotations

import ctypes
import dataclasses
from typing import Any, Iterable, Mapping, Optional, Sequence, Union

from . import _library as c
from .errors import InvalidArgumentError

EARLY_STOPPING = {False: 0, True: 1, "never": 2}


@dataclasses.dataclass
class SamplingParams:
    """Generation parameters, with vLLM's names where they mean the same.

    ``None`` is the model's own value: what generation_config.json says, else off. A model without that file decodes
    greedily. Setting a temperature or a filter turns sampling on.
    """

    n: int = 1
    """Answers to each prompt. With ``num_beams`` the best so many beams."""
    max_tokens: Optional[int] = None
    """New tokens, at least 1; None: generation_config's, else 128."""
    min_tokens: Optional[int] = None
    """No EOS token before so many new tokens."""

    greedy: bool = False
    """Argmax of the logits: the model's own sampling and penalties do not apply. ``temperature=0`` is the same."""
    temperature: Optional[float] = None
    """> 0; 0: greedy. Unlike vLLM's its default is the model's own."""
    top_k: Optional[int] = None
    """Keep the k best tokens; 0 and -1: off."""
    top_p: Optional[float] = None
    """Keep the smallest set with this probability, in (0, 1]."""
    min_p: Optional[float] = None
    """Drop tokens under min_p times the best one's probability, in [0, 1]."""
    top_n_sigma: Optional[float] = None
    """Keep tokens within so many standard deviations of the best logit; 0: off."""
    typical_p: Optional[float] = None
    epsilon_cutoff: Optional[float] = None
    eta_cutoff: Optional[float] = None
    xtc_probability: Optional[float] = None
    xtc_threshold: Optional[float] = None
    mirostat_tau: Optional[float] = None
    """Mirostat v2: bits of surprise that a text is kept at; 0: off. Not with the filters above."""
    mirostat_eta: Optional[float] = None
    """How much of a token's deviation is made up for; None: 0.1."""

    repetition_penalty: Optional[float] = None
    """> 0, over prompt and generated tokens; 1: off."""
    presence_penalty: Optional[float] = None
    """Over generated tokens; 0: off."""
    frequency_penalty: Optional[float] = None
    """Over generated tokens, times their count; 0: off."""
    no_repeat_ngram_size: Optional[int] = None
    dry_multiplier: Optional[float] = None
    dry_base: Optional[float] = None
    dry_allowed_length: Optional[int] = None
    dry_range: Optional[int] = None
    dry_sequence_breakers: Optional[Sequence[str]] = None

    logit_bias: Optional[Mapping[int, float]] = None
    """Token id to what is added to its logit; at most 256."""
    bad_words_ids: Sequence[Sequence[int]] = ()
    """Sequences of token ids that may not appear."""
    seed: Optional[int] = None
    """Same seed, same text, alone or in any batch; None: a random one, see RequestOutput.seed. 0 … 2^64 - 1."""

    stop: Union[None, str, Sequence[str]] = None
    """The text ends before the first of these."""
    stop_token_ids: Sequence[int] = ()
    """Token ids that end the text, besides the model's EOS tokens."""
    ignore_eos: bool = False
    skip_special_tokens: bool = True
    """Leave special tokens out of the text."""

    logprobs: Optional[int] = None
    """Log-probabilities of the chosen tokens and of so many best ones (0 … 20)."""
    prompt_logprobs: Optional[int] = None
    """The same for the prompt's tokens from the second on."""

    num_beams: int = 1
    """Beam search as in transformers; at most max_seqs of the engine."""
    length_penalty: float = 1.0
    early_stopping: Union[bool, str] = False
    """True, False or "never", as in transformers."""

    parse_special: bool = True
    """Special tokens in the text of a prompt become their ids."""
    add_bos: Optional[bool] = None
    """None: as the tokenizer's files say."""


_FLOATS = (
    "temperature", "top_p", "min_p", "top_n_sigma", "typical_p", "epsilon_cutoff", "eta_cutoff", "xtc_probability",
    "xtc_threshold", "mirostat_tau", "mirostat_eta", "repetition_penalty", "presence_penalty", "frequency_penalty",
    "dry_multiplier", "dry_base",
)
_INTS = ("no_repeat_ngram_size", "dry_allowed_length", "dry_range")


def integer(value: Any, name: str, low: int = -(2**31), high: int = 2**31 - 1) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InvalidArgumentError(f"'{name}': expected an integer, got {value!r}")
    number = value.__index__()
    if not low <= number <= high:
        raise InvalidArgumentError(f"'{name}': expected an integer from {low} to {high}, got {number}")
    return int(number)


def _float(value: Any, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidArgumentError(f"'{name}': expected a number, got {value!r}") from None


def choice(value: Optional[bool]) -> int:
    return 0 if value is None else 1 if value else 2


class RequestStruct:
    """A request for C, and what its pointers point to."""

    def __init__(self, prompt: Union[str, Iterable[int]], params: SamplingParams) -> None:
        self._kept: list[Any] = []
        self.sampling = c.SamplingParams(ctypes.sizeof(c.SamplingParams))
        self._fill_sampling(params)
        request = self.struct = c.Request(ctypes.sizeof(c.Request))
        if isinstance(prompt, str):
            request.prompt = self._string(prompt)
        else:
            request.prompt_ids = self._ids(prompt)
        request.parse_special = choice(params.parse_special)
        request.add_bos = choice(params.add_bos)
        request.sampling = ctypes.pointer(self.sampling)
        request.num_beams = integer(params.num_beams, "num_beams", low=1)
        if params.early_stopping not in EARLY_STOPPING:
            raise InvalidArgumentError(f"'early_stopping': expected True, False or \"never\", got {params.early_stopping!r}")
        request.early_stopping = EARLY_STOPPING[params.early_stopping]
        request.length_penalty = c.OptionalFloat(1, _float(params.length_penalty, "length_penalty"))
        request.num_return_sequences = integer(params.n, "n", low=1)
        if params.max_tokens is not None:
            request.max_new_tokens = integer(params.max_tokens, "max_tokens", low=1)
        if params.min_tokens is not None:
            request.min_new_tokens = c.OptionalInt(1, integer(params.min_tokens, "min_tokens"))
        request.stop_token_ids = self._ids(params.stop_token_ids)
        bad_words = [self._ids(ids) for ids in params.bad_words_ids]
        request.bad_words_ids, request.num_bad_words_ids = self._array(c.TokenIds, bad_words)
        stop = [params.stop] if isinstance(params.stop, str) else params.stop or ()
        request.stop, request.num_stop = self._array(c.String, [self._string(text, "stop") for text in stop])
        request.ignore_eos = bool(params.ignore_eos)
        request.keep_special = not params.skip_special_tokens
        if params.logprobs is not None:
            request.top_logprobs = c.OptionalInt(1, integer(params.logprobs, "logprobs"))
        if params.prompt_logprobs is not None:
            request.prompt_logprobs = c.OptionalInt(1, integer(params.prompt_logprobs, "prompt_logprobs"))

    def _fill_sampling(self, params: SamplingParams) -> None:
        sampling = self.sampling
        sampling.greedy = bool(params.greedy)
        for name in _FLOATS:
            value = getattr(params, name)
            if value is not None:
                setattr(sampling, name, c.OptionalFloat(1, _float(value, name)))
        for name in _INTS:
            value = getattr(params, name)
            if value is not None:
                setattr(sampling, name, c.OptionalInt(1, integer(value, name)))
        if params.top_k is not None:
            top_k = integer(params.top_k, "top_k")
            sampling.top_k = c.OptionalInt(1, 0 if top_k == -1 else top_k)
        if params.dry_sequence_breakers is not None:
            breakers = [self._string(text, "dry_sequence_breakers") for text in params.dry_sequence_breakers]
            sampling.dry_breakers_choice = 1
            sampling.dry_sequence_breakers, sampling.num_dry_sequence_breakers = self._array(c.String, breakers)
        if params.logit_bias:
            biases = [
                c.LogitBias(integer(token_id, "logit_bias"), _float(bias, "logit_bias"))
                for token_id, bias in params.logit_bias.items()
            ]
            sampling.logit_bias, sampling.num_logit_bias = self._array(c.LogitBias, biases)
        if params.seed is not None:
            sampling.seed = c.OptionalUint64(1, 0, integer(params.seed, "seed", low=0, high=2**64 - 1))

    def _string(self, text: str, name: str = "prompt") -> c.String:
        if not isinstance(text, str):
            raise InvalidArgumentError(f"'{name}': expected a text, got {text!r}")
        data = c.bytes_of(text)
        self._kept.append(data)
        return c.c_string(data)

    def _ids(self, ids: Iterable[int]) -> c.TokenIds:
        array = c.id_array(ids)
        self._kept.append(array)
        return c.TokenIds(ctypes.addressof(array), len(array))

    def _array(self, kind: Any, values: Sequence[Any]) -> tuple[Optional[int], int]:
        if not values:
            return None, 0
        array = (kind * len(values))(*values)
        self._kept.append(array)
        return ctypes.addressof(array), len(values)
