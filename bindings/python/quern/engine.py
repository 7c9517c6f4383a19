"""A model on a device, ready to generate."""

from __future__ import annotations

import ctypes
from typing import Any, AsyncIterator, Mapping, Optional, Sequence, Union, overload

import numpy as np
import numpy.typing as npt

from . import _library as c
from ._async import AsyncSteps
from ._core import EngineCore
from ._options import LoadCallback, engine_options, options_of
from .chat import ChatTemplate, Message
from .errors import InvalidArgumentError
from .facts import MemoryPlan, ModelInfo, Timing, model_info_of, named_tuple_of
from .outputs import RequestOutput, Update
from .sampling import RequestStruct, SamplingParams, integer
from .streams import Batch, Inbox, Stream
from .tokenizer import PathLike, Tokenizer

TokenIds = Union[Sequence[int], "npt.NDArray[np.integer[Any]]"]
Prompt = Union[str, TokenIds]
"""A text, or token ids, to which no BOS is added."""


class Engine(EngineCore):
    """A model on a device, ready to generate. Threads may share it: they take turns, step by step.

    ``model`` is a Hugging Face folder, or ``org/name`` from the local cache. Of the options 0 and None are defaults; all
    memory is planned from them, and an error says in bytes what does not fit.
    """

    def __init__(
        self,
        model: PathLike,
        *,
        device: str = "auto",
        device_index: Optional[int] = None,
        dtype: Optional[str] = None,
        quantize: Optional[str] = None,
        quantize_activations: str = "off",
        threads: int = 0,
        max_seqs: int = 8,
        max_seq_len: int = 0,
        max_tokens_per_step: int = 512,
        max_mixed_tokens: int = 0,
        kv_cache_memory_bytes: int = 0,
        kv_cache_dtype: str = "auto",
        kv_reservation: str = "full",
        prefix_cache: bool = True,
        skip_steps: int = 0,
        check_interval: int = 1,
        device_loop: str = "auto",
        deterministic: bool = False,
        on_load: Optional[LoadCallback] = None,
        _random: Optional[Mapping[str, Any]] = None,
    ) -> None:
        """
        :param device: "auto", "cpu" or "cuda"; device_index is CUDA's index of the GPU.
        :param dtype: of activations: "float32", "float16", "bfloat16"; None: float32 on the CPU, else the checkpoint's.
        :param quantize: the layers' matrices at load: "uint4", "uint8", "float8_e4m3".
        :param quantize_activations: "off", "checkpoint", "int8" (on the CPU), "token" (with quantize "uint8": W8A8).
        :param threads: CPU threads; 0: all that the process may use.
        :param max_seqs: sequences that run at a time; further requests wait.
        :param max_seq_len: tokens of one sequence; 0: the model's.
        :param max_tokens_per_step: a longer prompt is computed in chunks.
        :param kv_cache_memory_bytes: 0: enough for max_seqs sequences of max_seq_len, as far as memory allows.
        :param kv_cache_dtype: what keys and values are stored as: "auto", "int8", "fp8", "k16v8".
        :param kv_reservation: "full", or "grow" for more sequences where texts end early.
        :param check_interval: steps between two stop checks.
        :param device_loop: "auto", "off", "require": a decode loop on the GPU without the host.
        :param deterministic: the same bits for a request alone and in any batch, also on a GPU: slower prefill, no quantized
            weights or KV cache there.
        :param on_load: receives the progress.
        """
        super().__init__()
        self._inbox = Inbox()
        self._async = AsyncSteps(self)
        self._chat_template: Optional[ChatTemplate] = None
        options = engine_options(
            device=device, device_index=device_index, dtype=dtype, quantize=quantize, quantize_activations=quantize_activations,
            threads=threads, max_seqs=max_seqs, max_seq_len=max_seq_len, max_tokens_per_step=max_tokens_per_step,
            max_mixed_tokens=max_mixed_tokens, kv_cache_memory_bytes=kv_cache_memory_bytes, kv_cache_dtype=kv_cache_dtype, kv_reservation=kv_reservation,
            prefix_cache=prefix_cache, skip_steps=skip_steps, check_interval=check_interval, device_loop=device_loop,
            deterministic=deterministic,
        )
        self._load(model, _random, options, on_load)
        self.info: ModelInfo = model_info_of(c.lib.engine_info(self._handle).contents)
        """Facts of the model."""

    @classmethod
    def random(
        cls, shape: str, *, num_layers: int = 0, outliers: bool = False, weights_seed: int = 0, **options: Any
    ) -> "Engine":
        """An engine with random weights in a known shape ("llama_7b"), for timing. It has no tokenizer: prompts are token
        ids. ``options`` are those of Engine()."""
        model = {"num_layers": num_layers, "outliers": outliers, "weights_seed": weights_seed}
        return cls(shape, **options, _random=model)

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, which other threads may use while steps run."""
        return Tokenizer._of(c.lib.engine_tokenizer(self._live()), self)

    # Generation

    @overload  # a str is a Sequence[str], too: the first fit counts
    def generate(  # type: ignore[overload-overlap]
        self, prompts: Union[str, TokenIds], sampling_params: Optional[SamplingParams] = None
    ) -> RequestOutput: ...
    @overload
    def generate(
        self, prompts: Sequence[Prompt], sampling_params: Union[None, SamplingParams, Sequence[SamplingParams]] = None
    ) -> list[RequestOutput]: ...
    def generate(self, prompts: Any, sampling_params: Any = None) -> Any:
        """The outputs of one prompt or of a list of prompts, which run as one batch.

        A prompt is a text, or token ids to which no BOS is added. ``sampling_params`` is one for all or one for each. Errors:
        InvalidArgumentError for a prompt or parameter that cannot run, and then none runs. A request that fails later has
        finish_reason "error" and the engine's message in its output. Ctrl-C ends the requests and leaves the engine usable.
        """
        single, requests = _requests(prompts, sampling_params)
        batch = Batch()
        ids = self._submit(requests, batch, batch.pending)
        try:
            while batch.pending:
                self._advance(batch)
        except BaseException:
            self._discard(list(batch.pending), wait=True)
            raise
        outputs = [batch.outputs[request_id] for request_id in ids]
        return outputs[0] if single else outputs

    def stream(self, prompt: Prompt, sampling_params: Optional[SamplingParams] = None) -> Stream:
        """The updates of one prompt, as they come. Several streams of an engine share its steps."""
        return Stream(self, RequestStruct(prompt, sampling_params or SamplingParams()))

    async def astream(self, prompt: Prompt, sampling_params: Optional[SamplingParams] = None) -> AsyncIterator[Update]:
        """The updates of one prompt, for ``async for``. All of an event loop's streams share the engine's steps, which run on
        a thread of the engine. Leaving the loop, or cancelling its task, cancels the request."""
        stream = self._async.open(RequestStruct(prompt, sampling_params or SamplingParams()))
        last = False
        try:
            while not last:
                while not stream.deliveries:
                    await stream.arrival()
                update = stream.take()
                last = update.last
                yield update
        finally:
            self._async.cancel(stream)

    async def agenerate(self, prompt: Prompt, sampling_params: Optional[SamplingParams] = None) -> RequestOutput:
        """The output of one prompt, for ``await``; with ``asyncio.gather`` many run as one batch."""
        stream = self._async.open(RequestStruct(prompt, sampling_params or SamplingParams()))
        last = False
        try:
            while not last:
                while not stream.deliveries:
                    await stream.arrival()
                last = stream.take().last
            assert stream.output is not None
            return stream.output
        finally:
            self._async.cancel(stream)

    def chat(
        self, messages: Sequence[Message], sampling_params: Optional[SamplingParams] = None, **template_options: Any
    ) -> RequestOutput:
        """The answer to a conversation: ``[{"role": "user", "content": "…"}]``. Options: those of ChatTemplate.render."""
        output: RequestOutput = self.generate(self.chat_prompt(messages, **template_options), sampling_params)
        return output

    def chat_prompt(self, messages: Sequence[Message], **template_options: Any) -> list[int]:
        """The token ids of a conversation, as the model's chat template writes it: a prompt for generate() and stream()."""
        if self._chat_template is None:
            self._chat_template = ChatTemplate(self.info.folder or self.info.name)
        template = self._chat_template
        return template.encode(self.tokenizer, template.render(messages, **template_options))

    # Steps of one's own

    def submit(self, prompt: Prompt, sampling_params: Optional[SamplingParams] = None) -> int:
        """Queues a request, whose updates step() gives; returns its id."""
        return self._submit([RequestStruct(prompt, sampling_params or SamplingParams())], self._inbox)[0]

    def step(self) -> list[Update]:
        """Runs a step and returns the updates of submit()'s requests, possibly none."""
        self._advance(self._inbox)
        updates, self._inbox.updates = self._inbox.updates, []
        for update in updates:
            if update.last:
                self._consumers.pop(update.request_id, None)
        return updates

    @property
    def busy(self) -> bool:
        """Whether requests wait or run."""
        return bool(c.lib.engine_busy(self._live()))

    def take_output(self, request_id: int) -> Optional[RequestOutput]:
        """The whole output of a finished request of submit(), once."""
        with self._ask():
            self._mine()
            return self._take(request_id, forget=False)

    # Numbers

    def logits(self, prompt: Prompt, *, first: int = 0) -> "npt.NDArray[np.float32]":
        """The logits of the prompt's positions from ``first`` on: float32 [number of positions, vocab_size]. No request may
        be running."""
        ids = c.id_array(self.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt)
        first = integer(first, "first", low=0)
        logits = np.empty((max(len(ids) - first, 0), self.info.vocab_size), np.float32)
        row_bytes, address, end = logits.strides[0], logits.ctypes.data, logits.ctypes.data + logits.nbytes
        raised: list[BaseException] = []

        def add(_: Optional[int], rows: Any, num_rows: int) -> int:
            nonlocal address
            try:
                size = min(num_rows * row_bytes, end - address)
                ctypes.memmove(address, rows, size)
                address += size
                return 0
            except BaseException as error:  # Ctrl-C
                raised.append(error)
                return 1

        with self._ask():
            handle = self._mine()
            status = c.lib.engine_logits_rows(handle, ctypes.addressof(ids), len(ids), first, c.LOGITS_CALLBACK(add), None)
            if raised:
                raise raised[0]
            c.check(status)
        return logits

    @property
    def memory_plan(self) -> MemoryPlan:
        plan: MemoryPlan = named_tuple_of(MemoryPlan, self._filled(c.MemoryPlan, c.lib.engine_memory_plan))
        return plan

    @property
    def timing(self) -> Timing:
        timing: Timing = named_tuple_of(Timing, self._filled(c.Timing, c.lib.engine_timing))
        return timing._replace(device_loop=bool(timing.device_loop))

    @property
    def options(self) -> dict[str, Any]:
        """What is in force: device, dtype, threads, limits."""
        return options_of(self._filled(c.EngineOptions, c.lib.engine_get_options))

    # Life

    def close(self) -> None:
        """Ends all requests and frees the model. Later calls raise UnavailableError. Not while another thread is inside
        cancel() or the engine's tokenizer, which do not wait for a turn."""
        self._async.close()
        with self._lock:
            handle, self._handle = self._handle, ctypes.c_void_p()
            c.lib.engine_free(handle)

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<quern.Engine: {self.info.name}{'' if self._handle else ', closed'}>"


def _is_token_ids(prompts: Any) -> bool:
    if isinstance(prompts, np.ndarray):
        return prompts.ndim == 1
    return len(prompts) > 0 and hasattr(prompts[0], "__index__")


def _requests(prompts: Any, sampling_params: Any) -> tuple[bool, list[RequestStruct]]:
    """Whether it is one prompt, and the requests. Errors: InvalidArgumentError naming what is no prompt."""
    single = isinstance(prompts, str) or _is_token_ids(prompts)
    all_prompts = [prompts] if single else list(prompts)
    if sampling_params is None or isinstance(sampling_params, SamplingParams):
        all_params = [sampling_params or SamplingParams()] * len(all_prompts)
    else:
        all_params = list(sampling_params)
        if len(all_params) != len(all_prompts):
            raise InvalidArgumentError(f"'sampling_params': expected one or {len(all_prompts)}, got {len(all_params)}")
    return single, [RequestStruct(prompt, params) for prompt, params in zip(all_prompts, all_params)]
