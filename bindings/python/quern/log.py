"""The library's messages go to the logger "quern" of the standard library."""

from __future__ import annotations

import atexit
import logging
from typing import Optional

from . import _library as c

_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING)
logger = logging.getLogger("quern")
logger.addHandler(logging.NullHandler())  # silent unless the program asks for messages


def _receive(_: Optional[int], level: int, message: bytes) -> None:
    logger.log(_LEVELS[level], "%s", message.decode("utf-8", "replace"))


_SINK = c.LOG_SINK(_receive)  # kept: the library calls it
c.check(c.lib.set_log_sink(_SINK, None))
atexit.register(lambda: c.lib.set_log_sink(c.LOG_SINK(), None))
