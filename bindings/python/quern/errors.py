"""What the engine raises: one class for each kind of error, with the engine's one-line message."""

from __future__ import annotations

from typing import Type


class QuernError(RuntimeError):
    """An error of the engine. ``str(error)`` is one line that names the file, key or option, what was expected and what
    was found; ``status`` is the name of its kind: "not_found", "bad_file", …"""

    status: str = "internal"


class InvalidArgumentError(QuernError, ValueError):
    """An impossible option, prompt or id."""

    status = "invalid_argument"


class NotFoundError(QuernError, LookupError):
    """A file, folder or model is not there."""

    status = "not_found"


class BadFileError(QuernError):
    """A file is broken or contradicts another."""

    status = "bad_file"


class UnsupportedError(QuernError, NotImplementedError):
    """Well-formed, but not supported by this version."""

    status = "unsupported"


class OutOfMemoryError(QuernError, MemoryError):
    """The memory plan or an allocation does not fit; the message has the bytes and what to lower."""

    status = "out_of_memory"


class DeviceError(QuernError):
    """A device, its driver or a library of the device failed."""

    status = "device"


class UnavailableError(QuernError):
    """The engine is closed, or cannot take requests."""

    status = "unavailable"


class InternalError(QuernError):
    """A broken precondition inside the engine: a bug."""

    status = "internal"


class StoppedError(QuernError):
    """A callback ended the call."""

    status = "stopped"


# By quern_status.
BY_STATUS: dict[int, Type[QuernError]] = {
    1: InvalidArgumentError, 2: NotFoundError, 3: BadFileError, 4: UnsupportedError, 5: OutOfMemoryError,
    6: DeviceError, 7: UnavailableError, 8: UnavailableError, 9: InternalError, 10: StoppedError,
}
