"""Steps for asynchronous streams: a thread makes them while there are any."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import threading
import weakref
from typing import TYPE_CHECKING, Optional

from . import _library as c
from .errors import QuernError
from .sampling import RequestStruct
from .streams import AsyncStream, Mailbox

if TYPE_CHECKING:
    from .engine import Engine


class AsyncSteps:
    """The streams of event loops, and the thread that steps for them."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = weakref.ref(engine)  # which owns this
        self._lock = threading.Lock()
        self._new: list[AsyncStream] = []
        self._streams: dict[int, AsyncStream] = {}  # of the thread
        self._mailboxes: dict[asyncio.AbstractEventLoop, Mailbox] = {}  # while the thread runs
        self._thread: Optional[threading.Thread] = None

    def open(self, request: RequestStruct) -> AsyncStream:
        """Queues a request; its errors come from the stream."""
        engine = self._engine()
        assert engine is not None  # its method calls this
        engine._live()
        loop = asyncio.get_running_loop()
        with self._lock:
            mailbox = self._mailboxes.get(loop)
            if mailbox is None:
                mailbox = self._mailboxes[loop] = Mailbox(loop)
            stream = AsyncStream(request, mailbox)
            self._new.append(stream)
            if self._thread is None:  # which holds the engine while it runs
                self._thread = threading.Thread(target=self._serve, args=(engine,), name="quern-engine")
                self._thread.start()
        return stream

    def cancel(self, stream: AsyncStream) -> None:
        """Ends the request within a step; nothing, after its end."""
        stream.cancelled = True
        engine = self._engine()
        if stream.request_id != 0 and not stream.ended and engine is not None and engine._handle:
            c.lib.engine_cancel(engine._handle, stream.request_id)

    def close(self) -> None:
        """Cancels all and waits for the thread."""
        with self._lock:
            thread, streams = self._thread, [*self._streams.values(), *self._new]
        for stream in streams:
            self.cancel(stream)
        if thread is not None:
            thread.join()

    # On the thread.

    def _serve(self, engine: "Engine") -> None:
        while True:
            with self._lock:
                new, self._new = self._new, []
                if not new and not self._streams:
                    self._thread = None
                    self._mailboxes.clear()
                    return
            for stream in new:
                self._admit(engine, stream)
            try:
                with engine._ask():
                    handle = engine._mine()
                    if self._waits():  # other threads' steps may have ended all
                        engine._step()
                        if engine._updates.count == 0 and not c.lib.engine_busy(handle) and self._waits():
                            raise QuernError("the end of a request was lost in a call that Ctrl-C interrupted")
            except BaseException as error:
                for stream in self._streams.values():
                    if not stream.ended:
                        self._fail(stream, error)
                        stream.ended = True
            self._deliver()
            engine._give_way()

    def _waits(self) -> bool:
        return any(not stream.ended for stream in self._streams.values())

    def _admit(self, engine: "Engine", stream: AsyncStream) -> None:
        if stream.cancelled:
            self._fail(stream, QuernError("cancelled before it was queued"))
            return
        try:
            with engine._ask():
                request_id = ctypes.c_uint64()
                c.check(c.lib.engine_submit(engine._mine(), stream.request.struct, ctypes.byref(request_id)))
                engine._consumers[request_id.value] = stream
            with self._lock:
                self._streams[request_id.value] = stream
            stream.request_id = request_id.value
            if stream.cancelled:  # meanwhile
                self.cancel(stream)
        except BaseException as error:
            self._fail(stream, error)

    def _deliver(self) -> None:
        streams = list(self._streams.values())
        ended = [stream.request_id for stream in streams if stream.ended]
        if ended:
            with self._lock:
                for request_id in ended:
                    del self._streams[request_id]
        for mailbox in {stream.mailbox for stream in streams}:
            try:
                mailbox.wake()
            except RuntimeError:  # the loop is closed: nobody waits any more
                mailbox.deliveries.clear()
                for stream in streams:
                    if stream.mailbox is mailbox:
                        self.cancel(stream)

    @staticmethod
    def _fail(stream: AsyncStream, error: BaseException) -> None:
        # One object for each waiter: raised twice, its tracebacks would mix.
        own = type(error)(*error.args) if isinstance(error, QuernError) else error
        stream.mailbox.deliveries.append((stream, own))
        with contextlib.suppress(RuntimeError):
            stream.mailbox.wake()
