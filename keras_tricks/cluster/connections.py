"""How the workers of a training connect with their chief."""

from __future__ import annotations

import hmac
import secrets
import socket
import time

from keras_tricks.cluster.workers import Workers

_TOKEN_BYTES = 16
_CHUNK = 1 << 20


class WorkerLostError(RuntimeError):
    """Another worker of this training is gone, or has failed."""


def new_token() -> bytes:
    """Return a new secret, which shows that a connection comes from a worker of this training."""
    return secrets.token_bytes(_TOKEN_BYTES)


def listen(workers: Workers) -> socket.socket:
    """Return the chief's socket for the others to connect to, at a port that is free."""
    host = _host_of_chief(workers)
    is_local = host in ("localhost", "::1") or host.startswith("127.")
    family = socket.AF_INET6 if host == "::1" else socket.AF_INET
    # A machine's own name may stand for its loopback device there: listen on all devices.
    return socket.create_server((host if is_local else "", 0), family=family)


def accept_workers(
    workers: Workers, listener: socket.socket, token: bytes, patience_s: float
) -> dict[int, socket.socket]:
    """Wait for the connections of all other workers, and close the listener.

    Args:
        workers: The workers, of which this process is the chief.
        listener: What `listen` returned.
        token: The secret that each shows.
        patience_s: Seconds to wait.

    Returns:
        Their connections by index.

    Raises:
        WorkerLostError: One did not connect in time.
    """
    peers: dict[int, socket.socket] = {}
    deadline = time.monotonic() + patience_s
    with listener:
        while len(peers) < workers.count - 1:
            listener.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                peer, _ = listener.accept()
            except TimeoutError as error:
                for accepted in peers.values():
                    accepted.close()
                missing = [workers.name(index) for index in range(1, workers.count) if index not in peers]
                raise WorkerLostError(f"No connection from {', '.join(missing)} within {patience_s:.0f} s.") from error
            index = _index_of(peer, token)
            if index is None or not 0 < index < workers.count or index in peers:
                peer.close()
                continue
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peers[index] = peer
    return peers


def connect_to_chief(workers: Workers, port: int, token: bytes, patience_s: float) -> socket.socket:
    """Return a connection with the chief.

    Args:
        workers: The workers.
        port: Where the chief listens.
        token: The secret to show.
        patience_s: Seconds to wait.

    Raises:
        WorkerLostError: It cannot be reached.
    """
    try:
        peer = socket.create_connection((_host_of_chief(workers), port), timeout=patience_s)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.sendall(token + workers.index.to_bytes(4))
    except OSError as error:
        raise WorkerLostError(f"No connection to {workers.name(0)} at port {port}: {error}.") from error
    return peer


def read(peer: socket.socket, size: int) -> bytes:
    """Return `size` bytes.

    Raises:
        OSError: The connection has ended; `TimeoutError` if nothing came for the socket's timeout.
    """
    chunks = []
    while size:
        chunk = peer.recv(min(size, _CHUNK))
        if not chunk:
            raise ConnectionResetError("the connection has ended")
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def _host_of_chief(workers: Workers) -> str:
    return workers.addresses[0].rpartition(":")[0].strip("[]")


def _index_of(peer: socket.socket, token: bytes) -> int | None:
    """Which worker a new connection comes from, or None if it does not show the token."""
    peer.settimeout(5.0)
    try:
        greeting = read(peer, _TOKEN_BYTES + 4)
    except OSError:
        return None
    return int.from_bytes(greeting[_TOKEN_BYTES:]) if hmac.compare_digest(greeting[:_TOKEN_BYTES], token) else None
