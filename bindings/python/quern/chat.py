"""Chat templates, and answers taken apart."""

from __future__ import annotations

import ctypes
import dataclasses
import json
from typing import Any, Mapping, NamedTuple, Optional, Sequence

from . import _library as c
from .errors import InvalidArgumentError
from .sampling import choice
from .tokenizer import PathLike, Tokenizer

Message = Mapping[str, Any]
"""A message as transformers takes it: {"role": "user", "content": "…"}, with tool_calls and the like where there are any."""

_TOOL_CALL_FORMATS = ("none", "hermes", "llama3", "mistral")


def _json(value: Any) -> bytes:
    return c.bytes_of(json.dumps(value, ensure_ascii=False))


class RenderedChat:
    """A prompt that a template wrote."""

    def __init__(self, struct: Any) -> None:
        self._struct = struct
        data = ctypes.string_at(struct.contents.text.data, struct.contents.text.size)
        self.text: str = data.decode()
        ranges = struct.contents.untrusted[: struct.contents.num_untrusted]
        self.untrusted: list[str] = [data[part.begin : part.end].decode("utf-8", "replace") for part in ranges]
        """The parts of the text that came from messages."""

    def __del__(self) -> None:
        if getattr(self, "_struct", None):
            c.lib.rendered_chat_free(self._struct)


class ChatTemplate:
    """A model's chat template: turns messages into a prompt. Threads may share it."""

    def __init__(self, model: PathLike, name_or_file: Optional[PathLike] = None, *, has_tools: bool = False) -> None:
        """``name_or_file``: one of the model's templates by name, a built-in one (chatml, qwen) or a file; None: the
        model's own. ``has_tools`` chooses where it has several."""
        handle = ctypes.c_void_p()
        name = None if name_or_file is None else c.path_bytes(name_or_file)
        c.check(c.lib.chat_template_load(c.path_bytes(model), name, has_tools, ctypes.byref(handle)))
        self._handle = handle

    @classmethod
    def parse(cls, source: str, name: str = "template") -> "ChatTemplate":
        """A template from its text; errors call it ``name``."""
        data, handle = c.bytes_of(source), ctypes.c_void_p()
        c.check(c.lib.chat_template_parse(c.c_string(data), c.path_bytes(name), ctypes.byref(handle)))
        template = cls.__new__(cls)
        template._handle = handle
        return template

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            c.lib.chat_template_free(self._handle)

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Optional[Sequence[Mapping[str, Any]]] = None,
        documents: Optional[Sequence[Mapping[str, Any]]] = None,
        add_generation_prompt: bool = True,
        date: Optional[str] = None,
        **variables: Any,
    ) -> RenderedChat:
        """The prompt of a conversation. ``date``: YYYY-MM-DD, the day that the template sees; None: today. Further
        ``variables`` are the template's: ``enable_thinking=False``. Errors: InvalidArgumentError where the template refuses
        the messages, with its line."""
        kept = [_json(list(messages))]
        chat_input = c.ChatInput(ctypes.sizeof(c.ChatInput), c.c_string(kept[0]))
        for name, value in (("tools", tools), ("documents", documents)):
            if value is not None:
                kept.append(_json(list(value)))
                setattr(chat_input, name, c.c_string(kept[-1]))
        chat_input.add_generation_prompt = choice(add_generation_prompt)
        array = (c.ChatVariable * len(variables))()
        for variable, (name, value) in zip(array, variables.items()):
            kept += [c.bytes_of(name), _json(value)]
            variable.name, variable.value = c.c_string(kept[-2]), c.c_string(kept[-1])
        chat_input.variables, chat_input.num_variables = array, len(array)
        chat_input.date = None if date is None else c.path_bytes(date)
        chat = ctypes.POINTER(c.RenderedChat)()
        c.check(c.lib.chat_template_render(self._handle, chat_input, ctypes.byref(chat)))
        return RenderedChat(chat)

    def encode(self, tokenizer: Tokenizer, chat: RenderedChat, *, parse_special_in_messages: bool = False) -> list[int]:
        """The ids of a prompt. Special tokens count where the template wrote them; in text of messages they stay text."""
        ids, count = ctypes.c_void_p(), ctypes.c_size_t()
        c.check(
            c.lib.chat_template_encode(
                self._handle, tokenizer._live(), chat._struct, parse_special_in_messages, ctypes.byref(ids), ctypes.byref(count)
            )
        )
        return c.take_ids(ids, count.value)

    @property
    def name(self) -> str:
        """Where it comes from: a file, "tokenizer_config.json", "chatml (built in)"."""
        return c.text_of(c.lib.chat_template_name(self._handle))

    @property
    def source(self) -> str:
        return c.text_of(c.lib.chat_template_source(self._handle))

    @property
    def tool_calls(self) -> str:
        """How the model writes tool calls: "hermes", "llama3", "mistral" or "none"."""
        return _TOOL_CALL_FORMATS[c.lib.chat_template_tool_calls(self._handle)]


class ToolCall(NamedTuple):
    """A call of a tool that the model asks for."""

    id: str
    """Empty where the format has none."""
    name: str
    arguments: str
    """JSON."""


@dataclasses.dataclass
class Answer:
    """An answer, or what a piece of it adds."""

    content: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCall] = dataclasses.field(default_factory=list)


class AnswerParser:
    """Takes reasoning (``<think>``) and tool calls apart while an answer streams. The text must have its special tokens
    written out: ``SamplingParams(skip_special_tokens=False)``."""

    def __init__(self, tool_calls: str = "none", *, parse_reasoning: bool = True, begins_in_reasoning: bool = False) -> None:
        if tool_calls not in _TOOL_CALL_FORMATS:
            raise InvalidArgumentError(f"'tool_calls': expected one of {', '.join(_TOOL_CALL_FORMATS)}, got {tool_calls!r}")
        options = c.AnswerOptions(
            ctypes.sizeof(c.AnswerOptions), _TOOL_CALL_FORMATS.index(tool_calls), choice(parse_reasoning), begins_in_reasoning
        )
        handle = ctypes.c_void_p()
        c.check(c.lib.answer_parser_create(options, ctypes.byref(handle)))
        self._handle = handle

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            c.lib.answer_parser_free(self._handle)

    def push(self, piece: str) -> Answer:
        """What the next piece of the answer adds."""
        data, delta = c.bytes_of(piece), ctypes.POINTER(c.AnswerDelta)()
        c.check(c.lib.answer_parser_push(self._handle, c.c_string(data), ctypes.byref(delta)))
        return self._answer(delta.contents)

    def finish(self) -> Answer:
        """The answer ends here: what was held back."""
        delta = ctypes.POINTER(c.AnswerDelta)()
        c.check(c.lib.answer_parser_finish(self._handle, ctypes.byref(delta)))
        return self._answer(delta.contents)

    def parse(self, text: str) -> Answer:
        """A whole answer."""
        first, rest = self.push(text), self.finish()
        return Answer(first.content + rest.content, first.reasoning + rest.reasoning, first.tool_calls + rest.tool_calls)

    @staticmethod
    def _answer(delta: Any) -> Answer:
        calls = [
            ToolCall(c.text_of(call.id), c.text_of(call.name), c.text_of(call.arguments))
            for call in delta.tool_calls[: delta.num_tool_calls]
        ]
        return Answer(c.text_of(delta.content), c.text_of(delta.reasoning), calls)
