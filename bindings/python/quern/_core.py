"""The handle of an engine: whose turn it is, its steps, and who receives what they give."""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
import time
import weakref
from typing import Any, Iterable, Mapping, Optional, Sequence

from . import _library as c
from ._options import LoadCallback
from .errors import UnavailableError
from .outputs import RequestOutput, UpdateReader, output_of
from .sampling import RequestStruct, integer
from .streams import Consumer, Discard
from .tokenizer import PathLike


class EngineCore:
    """Engine without what a program calls, but for cancel()."""

    def __init__(self) -> None:
        self._handle = ctypes.c_void_p()  # NULL: not loaded, closed
        self._lock = threading.Lock()
        self._waiting: set[int] = set()  # threads that ask for it
        self._consumers: dict[int, Consumer] = {}
        self._reader = UpdateReader()
        self._updates = c.Updates()  # of the last step
        self._num_read = 0  # of these
        self._of_parent = False  # in a child of fork()
        _engines.add(self)

    def cancel(self, request_id: int) -> None:
        """Ends a request at the next step. From any thread; unknown and finished ids are ignored."""
        c.lib.engine_cancel(self._live(), request_id)

    def _load(
        self, model: PathLike, random: Optional[Mapping[str, Any]], options: c.EngineOptions, on_load: Optional[LoadCallback]
    ) -> None:
        raised: list[BaseException] = []

        def report(_: Optional[int], done: int, total: int) -> int:  # also lets Ctrl-C end the load
            try:
                if on_load is not None:
                    on_load(done, total)
                return 0
            except BaseException as error:  # ctypes would print and forget it
                raised.append(error)
                return 1

        callback = c.LOAD_CALLBACK(report)
        options.on_load = callback
        handle, name = ctypes.byref(self._handle), c.path_bytes(model)
        if random is None:
            status = c.lib.engine_load(name, options, handle)
        else:
            source = c.RandomModel(
                ctypes.sizeof(c.RandomModel), name, integer(random["num_layers"], "num_layers"), bool(random["outliers"]),
                integer(random["weights_seed"], "weights_seed", low=0, high=2**64 - 1),
            )
            status = c.lib.engine_load_random(source, options, handle)
        if raised:
            raise raised[0]
        c.check(status)

    def __del__(self) -> None:
        handle, self._handle = getattr(self, "_handle", None), ctypes.c_void_p()
        if handle:
            c.lib.engine_free(handle)

    def _live(self) -> ctypes.c_void_p:
        if not self._handle:
            parent = "the engine is that of the parent process: load one after fork"
            raise UnavailableError(parent if self._of_parent else "the engine is closed")
        return self._handle

    # Turns: `with self._ask(): handle = self._mine()`. The lock is the interpreter's own, since Ctrl-C may come between any two
    # statements of a context manager in Python, and leave it locked. It goes to whoever asks first, so that a thread that
    # steps again and again gives way in between.

    def _ask(self) -> threading.Lock:
        self._waiting.add(threading.get_ident())
        return self._lock

    def _mine(self) -> ctypes.c_void_p:
        self._waiting.discard(threading.get_ident())
        return self._live()

    def _give_way(self) -> None:
        for _ in range(10):
            if not self._waiting:
                return
            time.sleep(2e-5)

    def _filled(self, kind: Any, function: Any) -> Any:
        struct = kind(ctypes.sizeof(kind))
        with self._ask():
            c.check(function(self._mine(), struct))
        return struct

    def _submit(self, requests: Sequence[RequestStruct], consumer: Consumer, ids_in: Optional[set[int]] = None) -> list[int]:
        """Queues all or, after an error, none."""
        ids: list[int] = []
        try:
            with self._ask():
                handle = self._mine()
                for request in requests:
                    request_id = ctypes.c_uint64()
                    c.check(c.lib.engine_submit(handle, request.struct, ctypes.byref(request_id)))
                    ids.append(request_id.value)
                    self._consumers[request_id.value] = consumer
                    if ids_in is not None:
                        ids_in.add(request_id.value)
        except BaseException:
            self._discard(ids)
            raise
        return ids

    def _advance(self, consumer: Consumer) -> None:
        """A step, unless another thread's has brought what `consumer` waits for."""
        with self._ask():
            handle = self._mine()
            if not consumer.done():
                self._step()
                if self._updates.count == 0 and not c.lib.engine_busy(handle):
                    consumer.end(self)
        if self._waiting:
            self._give_way()

    def _step(self) -> None:
        """Runs a step and hands out its updates. Ctrl-C may end this at any place: updates that were not read stay valid until
        the library's next step, and are read before it."""
        self._hand_out()
        self._updates.count = self._num_read = 0
        status = c.lib.engine_step(self._live(), self._updates)  # without the GIL
        if status != 0:
            c.check(status)
        self._hand_out()

    def _hand_out(self) -> None:
        updates = self._updates
        if self._num_read < updates.count:
            consumers = self._consumers
            for fields in itertools.islice(self._reader.fields(updates), self._num_read, None):
                self._num_read += 1
                consumer = consumers.get(fields[0])
                if consumer is not None:
                    consumer.receive(self, fields)

    def _take(self, request_id: int, forget: bool = True) -> Optional[RequestOutput]:
        """The output of a request that has ended; the turn is the caller's."""
        result = ctypes.POINTER(c.Result)()
        c.check(c.lib.engine_take_result(self._live(), request_id, ctypes.byref(result)))
        if forget:
            self._consumers.pop(request_id, None)
        if not result:
            return None
        try:
            return output_of(result.contents)
        finally:
            c.lib.result_free(result)

    def _drop(self, request_id: int) -> None:
        """Forgets a request that has ended; the turn is the caller's."""
        result = ctypes.POINTER(c.Result)()
        c.check(c.lib.engine_take_result(self._live(), request_id, ctypes.byref(result)))
        self._consumers.pop(request_id, None)
        c.lib.result_free(result)

    def _discard(self, ids: Iterable[int], wait: bool = False) -> None:
        """Cancels requests; what they still give is dropped. With `wait` their rows and blocks are free afterwards."""
        if not self._handle:
            return
        discard = Discard()
        ids = [request_id for request_id in ids if request_id in self._consumers]
        for request_id in ids:
            self._consumers[request_id] = discard
            c.lib.engine_cancel(self._handle, request_id)
        while wait and any(self._consumers.get(request_id) is discard for request_id in ids):
            with self._ask():
                handle = self._mine()
                self._step()
                if not c.lib.engine_busy(handle):
                    for request_id in ids:
                        self._drop(request_id)


_engines: "weakref.WeakSet[EngineCore]" = weakref.WeakSet()


def _leave_engines_to_the_parent() -> None:
    """A child of fork() has the engine's memory without its threads, which every call and even freeing it would wait for."""
    for engine in list(_engines):
        engine._of_parent = bool(engine._handle)
        engine._handle, engine._lock = ctypes.c_void_p(), threading.Lock()


os.register_at_fork(after_in_child=_leave_engines_to_the_parent)
