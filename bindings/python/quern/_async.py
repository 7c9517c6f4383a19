"""Steps for asynchronous streams: a thread makes them while there are any."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import weakref
from typing import TYPE_CHECKING, Any, Optional

from . import _library as c
from .errors import QuernError
from .outputs import Update
from .sampling import RequestStruct
from .streams import AsyncStream

if TYPE_CHECKING:
    from .engine import Engine


class AsyncSteps:
    """The streams of event loops, and the thread that steps for them. A step's updates reach a loop in one call, however many
    streams they are for."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = weakref.ref(engine)  # which owns this
        self._lock = threading.Lock()
        self._new: list[AsyncStream] = []
        self._streams: dict[int, AsyncStream] = {}  # of the thread
        self._thread: Optional[threading.Thread] = None

    def open(self, request: RequestStruct) -> AsyncStream:
        """Queues a request; its errors come from the stream."""
        engine = self._engine()
        assert engine is not None  # its method calls this
        engine._live()
        stream = AsyncStream(request)
        with self._lock:
            self._new.append(stream)
            if self._thread is None:  # which holds the engine while it runs
                self._thread = threading.Thread(target=self._serve, args=(engine,), name="quern-engine")
                self._thread.start()
        return stream

    def cancel(self, stream: AsyncStream) -> None:
        """Ends the request within a step; nothing, after its end."""
        stream.cancelled = True
        engine = self._engine()
        if stream.request_id != 0 and stream.output is None and engine is not None and engine._handle:
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
                    return
            for stream in new:
                self._admit(engine, stream)
            try:
                with engine._ask():
                    handle = engine._mine()
                    engine._step()
                    if engine._updates.count == 0 and not c.lib.engine_busy(handle) and self._streams:
                        raise QuernError("the end of a request was lost in a call that Ctrl-C interrupted")
            except BaseException as error:
                for stream in self._streams.values():
                    self._fail(stream, error)
                with self._lock:
                    self._streams.clear()
            self._deliver()
            engine._give_way()

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
        by_loop: dict[Any, list[tuple[AsyncStream, list[Update]]]] = {}
        for stream in list(self._streams.values()):
            if stream.received:
                updates, stream.received = stream.received, []
                by_loop.setdefault(stream.loop, []).append((stream, updates))
                if updates[-1].last:
                    with self._lock:
                        del self._streams[stream.request_id]
        for loop, deliveries in by_loop.items():
            try:
                loop.call_soon_threadsafe(_deliver_all, deliveries)
            except RuntimeError:  # the loop is closed: nobody waits any more
                for stream, _ in deliveries:
                    self.cancel(stream)

    @staticmethod
    def _fail(stream: AsyncStream, error: BaseException) -> None:
        # One object for each waiter: raised twice, its tracebacks would mix.
        own = type(error)(*error.args) if isinstance(error, QuernError) else error
        with contextlib.suppress(RuntimeError):
            stream.loop.call_soon_threadsafe(stream.deliver, [], own)


def _deliver_all(deliveries: list[tuple[AsyncStream, list[Update]]]) -> None:
    for stream, updates in deliveries:
        stream.deliver(updates)
