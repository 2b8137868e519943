"""Link: what the workers of one training tell each other besides gradients."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable

from keras_tricks.cluster.connections import WorkerLostError, accept_workers, connect_to_chief, read
from keras_tricks.cluster.workers import Workers

_HEADER = struct.Struct("!cQ")
_BEAT, _VALUE, _FAILED, _STOPPED, _BYE = b"b", b"v", b"f", b"s", b"q"


class WorkerStoppedError(KeyboardInterrupt):
    """Another worker was interrupted before the workers could agree on a step to stop at."""


class Link:
    """A connection between the chief and each other worker.

    Over it the chief sends what only it has, such as a checkpoint, the workers agree whether to stop, and each learns
    at once that another has failed, was killed, or has fallen silent. All workers must call `broadcast`, `any_of` and
    `finish` in the same order, as with every collective operation.

    A worker that waits for another one's gradients cannot be interrupted from Python. TensorFlow ends the wait itself
    when a connection of its own breaks; where it does not within `grace_s`, the process is ended. `on_lost` is called
    at once, from a thread of the link.

    Example:

    ```python
    listener = listen(workers) if workers.is_chief else None
    port, token = ...  # the listener's port and a `new_token()`, brought from the chief to all workers
    with Link(workers, port, token, listener) as link:
        recipe = link.broadcast(recipe if workers.is_chief else None)
        while not link.any_of(stop_requested):
            train_some_steps()
        link.finish()
    ```

    Args:
        workers: The workers.
        port: The port at which the chief listens.
        token: The secret that shows that a connection comes from a worker of this training.
        listener: The chief's open socket (see `listen`); None at the others.
        silence_s: Seconds without a sign of life after which a worker counts as lost. Defaults to 15.
        grace_s: Seconds that the main thread has to notice a loss. Defaults to 30.
        patience_s: Seconds to wait for the connections. Defaults to 60.
        on_lost: Called with the reason when another worker is lost.

    Raises:
        WorkerLostError: The workers do not find each other; later, from each method: one is gone.
    """

    def __init__(
        self,
        workers: Workers,
        port: int,
        token: bytes,
        listener: socket.socket | None = None,
        silence_s: float = 15.0,
        grace_s: float = 30.0,
        patience_s: float = 60.0,
        on_lost: Callable[[str], None] | None = None,
    ):
        self.workers = workers
        self.on_lost = on_lost
        self.lost: Exception | KeyboardInterrupt | None = None
        self._silence_s = silence_s
        self._grace_s = grace_s
        self._closing = threading.Event()
        self._noticed = threading.Event()
        self._ended = threading.Event()
        self._at_ease = False
        self._guard = threading.Lock()
        if workers.is_chief:
            if listener is None:
                raise ValueError("Expected the chief to listen. Received: listener=None")
            self._peers = accept_workers(workers, listener, token, patience_s)
        else:
            self._peers = {0: connect_to_chief(workers, port, token, patience_s)}
        self._send_guards = {index: threading.Lock() for index in self._peers}
        self._received: dict[int, queue.Queue[bytes | None]] = {index: queue.Queue() for index in self._peers}
        for index, peer in self._peers.items():
            peer.settimeout(silence_s)
            threading.Thread(target=self._receive, args=(index, peer), name=f"link-{index}", daemon=True).start()
        threading.Thread(target=self._beat, name="link-beat", daemon=True).start()

    def broadcast(self, value: bytes | None = None) -> bytes:
        """Return the chief's value at all workers.

        Args:
            value: The value; the other workers' are ignored.
        """
        if self.workers.is_chief:
            for index in self._peers:
                self._send(index, value or b"")
            return value or b""
        return self._take(0)

    def any_of(self, mine: bool) -> bool:
        """Return at all workers whether the value of any of them is true; waits until all have called it."""
        if not self.workers.is_chief:
            self._send(0, bytes([mine]))
            return self._take(0) != b"\0"
        answers = [mine, *(self._take(index) != b"\0" for index in self._peers)]
        return self.broadcast(bytes([any(answers)])) != b"\0"

    def begin(self) -> None:
        """Miss whoever is lost from here on; so it is at first."""
        self._at_ease = False

    def finish(self) -> None:
        """Wait until all workers are done; whoever is lost after this ends no other, unless that one waits for it."""
        if self.workers.is_chief:
            for index in self._peers:
                self._take(index)
            self._at_ease = True
            self.broadcast()
            return
        self._send(0, b"")
        self._take(0)
        self._at_ease = True

    def tell(self, error: BaseException, words: str) -> None:
        """Tell the others why this worker ends, so that they say so too."""
        if self._at_ease and isinstance(error, KeyboardInterrupt):
            return
        kind = _STOPPED if isinstance(error, KeyboardInterrupt) else _FAILED
        for index in self._peers:
            # One that is gone needs no telling.
            with contextlib.suppress(OSError):
                self._put(index, kind, words.encode())

    def reason(self, wait_s: float = 2.0) -> Exception | KeyboardInterrupt | None:
        """Return why another worker is lost, if one is.

        TensorFlow's own error may come before ours: wait a moment for it.
        """
        if self._at_ease:
            return None
        deadline = time.monotonic() + wait_s
        while self.lost is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.lost is not None:
            self._noticed.set()
        return self.lost

    def wait_for_end(self, seconds: float | None = None) -> None:
        """Wait until another worker has closed its connection, `seconds` at most."""
        self._ended.wait(seconds)

    def close(self) -> None:
        """End the connections. The others count this worker as lost if they have not finished."""
        if self._closing.is_set():
            return
        self._noticed.set()
        if self._at_ease:
            for index in self._peers:
                with contextlib.suppress(OSError):
                    self._put(index, _BYE)
        self._closing.set()
        self._close_sockets()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, index: int, kind: bytes, value: bytes = b"") -> None:
        with self._send_guards[index]:
            self._peers[index].sendall(_HEADER.pack(kind, len(value)) + value)

    def _send(self, index: int, value: bytes) -> None:
        try:
            self._put(index, _VALUE, value)
        except OSError as error:
            self._lose(WorkerLostError(f"{self.workers.name(index)} was lost: {error.strerror or error}."))
            raise self._raised() from error

    def _take(self, index: int) -> bytes:
        value = self._received[index].get()
        if value is None:
            self._received[index].put(None)
            raise self._raised()
        return value

    def _raised(self) -> BaseException:
        self._noticed.set()
        return self.lost or WorkerLostError("Another worker has left.")

    def _receive(self, index: int, peer: socket.socket) -> None:
        try:
            self._receive_until_end(index, peer)
        finally:
            self._ended.set()

    def _receive_until_end(self, index: int, peer: socket.socket) -> None:
        name = self.workers.name(index)
        while True:
            try:
                kind, size = _HEADER.unpack(read(peer, _HEADER.size))
                value = read(peer, size)
            except TimeoutError:
                self._lose(WorkerLostError(f"{name} was lost: no sign of life for {self._silence_s:.0f} s."))
                return
            except OSError:
                self._lose(WorkerLostError(f"{name} was lost: its process has ended."))
                return
            if kind == _VALUE:
                self._received[index].put(value)
            elif kind == _FAILED:
                self._lose(WorkerLostError(f"{name} failed: {value.decode(errors='replace')}"))
                return
            elif kind == _STOPPED:
                self._lose(WorkerStoppedError(f"{name} was stopped: {value.decode(errors='replace')}"))
                return
            elif kind == _BYE:
                self._wake()
                return

    def _beat(self) -> None:
        while not self._closing.wait(1.0):
            for index in self._peers:
                # The receiving thread finds out what is wrong, and says so.
                with contextlib.suppress(OSError):
                    self._put(index, _BEAT)

    def _lose(self, error: Exception | KeyboardInterrupt) -> None:
        """Note the first loss, wake the main thread where it waits for a message, and see to it that it ends."""
        with self._guard:
            if self.lost is not None or self._closing.is_set():
                return
            self.lost = error
        self._wake()
        if self._at_ease:
            return
        if self.workers.is_chief:
            # The others are connected with the chief alone.
            self.tell(error, str(error))
        threading.Thread(target=self._end_if_stuck, name="link-end", daemon=True).start()
        if self.on_lost is not None:
            self.on_lost(str(error))

    def _wake(self) -> None:
        """Let no one wait for a message any more, from whomever: without one worker nothing can be agreed on."""
        for received in self._received.values():
            received.put(None)

    def _end_if_stuck(self) -> None:
        if not self._noticed.wait(self._grace_s):
            os._exit(130 if isinstance(self.lost, KeyboardInterrupt) else 1)

    def _close_sockets(self) -> None:
        for peer in self._peers.values():
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
            peer.close()
