"""Quern: runs GPT-2, LLaMA and Qwen models from Hugging Face folders, on the CPU and on NVIDIA GPUs.

    import quern

    with quern.Engine("examples/models/tale-llama") as engine:
        print(engine.generate("Once upon a time", quern.SamplingParams(max_tokens=32)).text)
"""

from . import log as _log  # connects the logger
from ._library import lib as _lib
from .chat import Answer, AnswerParser, ChatTemplate, RenderedChat, ToolCall
from .engine import Engine
from .errors import (
    BadFileError,
    DeviceError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    OutOfMemoryError,
    QuernError,
    StoppedError,
    UnavailableError,
    UnsupportedError,
)
from .facts import MemoryPlan, ModelInfo, Timing, read_model_info
from .outputs import CompletionOutput, RequestOutput, TokenLogprobs, Update
from .sampling import SamplingParams
from .streams import Stream
from .tokenizer import Tokenizer

__version__: str = _lib.version().decode()
__commit__: str = _lib.commit().decode()

__all__ = [
    "Answer",
    "AnswerParser",
    "BadFileError",
    "ChatTemplate",
    "CompletionOutput",
    "DeviceError",
    "Engine",
    "InternalError",
    "InvalidArgumentError",
    "MemoryPlan",
    "ModelInfo",
    "NotFoundError",
    "OutOfMemoryError",
    "QuernError",
    "RenderedChat",
    "RequestOutput",
    "SamplingParams",
    "StoppedError",
    "Stream",
    "Timing",
    "TokenLogprobs",
    "Tokenizer",
    "ToolCall",
    "UnavailableError",
    "UnsupportedError",
    "Update",
    "read_model_info",
]
