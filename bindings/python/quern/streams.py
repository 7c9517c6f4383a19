"""Who receives a request's updates: a batch, a stream, an asynchronous stream."""

from __future__ import annotations

import asyncio
import collections
import contextlib
from typing import TYPE_CHECKING, Any, Deque, Iterator, Optional, Protocol, Union

from .outputs import RequestOutput, Update, update_of

if TYPE_CHECKING:
    from ._core import EngineCore


class Consumer(Protocol):
    """Receives the updates of its requests, on the thread that steps, whose turn it is. It has no reference to the engine,
    which has one to it while its requests run."""

    def receive(self, engine: "EngineCore", fields: tuple[int, ...]) -> None:
        """The fields are those of update_of()."""
        ...

    def done(self) -> bool:
        """Whether it has what its reader waits for."""
        ...

    def end(self, engine: "EngineCore") -> None:
        """The engine is idle: what has not come was lost in a call that Ctrl-C interrupted."""
        ...


_ID, _LAST = 0, 3  # places among the fields


class Batch:
    """The whole outputs of some requests: updates are not even read, but for a request's last."""

    def __init__(self) -> None:
        self.pending: set[int] = set()
        self.outputs: dict[int, RequestOutput] = {}

    def receive(self, engine: "EngineCore", fields: tuple[int, ...]) -> None:
        if fields[_LAST]:
            self._take(engine, fields[_ID])

    def done(self) -> bool:
        return not self.pending

    def end(self, engine: "EngineCore") -> None:
        for request_id in list(self.pending):
            self._take(engine, request_id)

    def _take(self, engine: "EngineCore", request_id: int) -> None:
        output = engine._take(request_id)
        if output is not None:
            self.outputs[request_id] = output
        self.pending.discard(request_id)


class Inbox:
    """The updates of requests that Engine.submit() queued, until Engine.step() asks for them."""

    def __init__(self) -> None:
        self.updates: list[Update] = []

    def receive(self, engine: "EngineCore", fields: tuple[int, ...]) -> None:
        self.updates.append(update_of(fields))

    def done(self) -> bool:
        return bool(self.updates)

    def end(self, engine: "EngineCore") -> None:
        pass


class Discard:
    """Requests whose output nobody wants."""

    def receive(self, engine: "EngineCore", fields: tuple[int, ...]) -> None:
        if fields[_LAST]:
            engine._drop(fields[_ID])

    def done(self) -> bool:
        return True

    def end(self, engine: "EngineCore") -> None:
        pass


class _Received:
    """What a stream's request has given."""

    def __init__(self) -> None:
        self.updates: Deque[Update] = collections.deque()
        self.request_id = 0
        self.output: Optional[RequestOutput] = None
        self.ended = False

    def receive(self, engine: "EngineCore", fields: tuple[int, ...]) -> None:
        if fields[_LAST]:
            self.output = engine._take(fields[_ID])
            self.ended = True
        self.updates.append(update_of(fields))

    def done(self) -> bool:
        return self.ended or bool(self.updates)

    def end(self, engine: "EngineCore") -> None:
        self.output = engine._take(self.request_id)
        self.ended = True


class Stream(Iterator[Update]):
    """The updates of one request, as they come. Steps run while somebody iterates; what they give to other streams of the
    engine is kept for those. Dropping or closing it, also by leaving a ``with``, cancels the request."""

    def __init__(self, engine: "EngineCore", request: Any) -> None:
        self._engine = engine
        self._received = _Received()
        self._received.ended = True  # until it is submitted there is nothing to close
        [self._received.request_id] = engine._submit([request], self._received)
        self._received.ended = False

    def __next__(self) -> Update:
        received = self._received
        while not received.updates:
            if received.ended:
                raise StopIteration
            self._engine._advance(received)
        return received.updates.popleft()

    @property
    def request_id(self) -> int:
        return self._received.request_id

    @property
    def output(self) -> Optional[RequestOutput]:
        """The whole output, after the end."""
        return self._received.output

    def cancel(self) -> None:
        """Ends the request at the next step; what it gave so far is its output. From any thread."""
        if not self._received.ended:
            self._engine.cancel(self.request_id)

    def close(self) -> None:
        """Cancels the request and forgets its output."""
        if not self._received.ended:
            self._received.ended = True
            self._engine._discard([self.request_id])

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the interpreter may be ending
            self.close()


class Mailbox:
    """What the engine's thread has for an event loop. The loop is woken once for all that lies there."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.deliveries: Deque[tuple[AsyncStream, Union[Update, BaseException]]] = collections.deque()
        self._woken = False  # the loop has not looked since

    def wake(self) -> None:
        """On the engine's thread, after deliveries. Errors: RuntimeError for a loop that is closed."""
        if self.deliveries and not self._woken:
            self._woken = True
            try:
                self.loop.call_soon_threadsafe(self._open)
            except RuntimeError:
                self._woken = False
                raise

    def _open(self) -> None:
        self._woken = False  # first: what comes from now on may wake it again
        deliveries = self.deliveries
        while deliveries:
            stream, delivery = deliveries.popleft()
            stream.deliveries.append(delivery)
            waiter, stream.waiter = stream.waiter, None
            if waiter is not None and not waiter.done():
                waiter.set_result(None)


class AsyncStream:
    """One request of an event loop."""

    def __init__(self, request: Any, mailbox: Mailbox) -> None:
        self.request = request
        self.request_id = 0
        self.mailbox = mailbox
        self.output: Optional[RequestOutput] = None
        self.ended = False
        self.cancelled = False
        # Of the event loop: updates up to the last, or an error.
        self.deliveries: Deque[Union[Update, BaseException]] = collections.deque()
        self.waiter: Optional[asyncio.Future[None]] = None

    # On the thread that steps.

    def receive(self, engine: "EngineCore", fields: tuple[int, ...]) -> None:
        if fields[_LAST]:
            self.output = engine._take(fields[_ID])
        self.mailbox.deliveries.append((self, update_of(fields)))
        if fields[_LAST]:
            self.ended = True  # last: nothing is delivered once it is set

    def done(self) -> bool:
        return False

    def end(self, engine: "EngineCore") -> None:
        pass  # no signal handler runs on the engine's thread

    # On the event loop's thread.

    def arrival(self) -> "asyncio.Future[None]":
        """Done when there is a delivery; for a stream that has none."""
        self.waiter = self.mailbox.loop.create_future()
        return self.waiter

    def take(self) -> Update:
        """The next delivery. Raises those that are errors."""
        delivery = self.deliveries.popleft()
        if isinstance(delivery, BaseException):
            raise delivery
        return delivery
