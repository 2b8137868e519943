"""`keras-tricks serve`: the terminal UI in a browser."""

from __future__ import annotations

import importlib.util
import os
import shlex
import socket
import sys
from typing import Annotated

import typer

from keras_tricks.cli.options import RunsDir, runs_root, say
from keras_tricks.runs import RunError


def add_to(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(serve)


def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen on. There is no password: others only where all may train.")
    ] = "127.0.0.1",
    runs_dir: RunsDir = None,
) -> None:
    """Open the terminal UI in a browser, on this machine; it needs the extra `serve`."""
    if importlib.util.find_spec("textual_serve") is None:
        raise RunError("The browser needs the package textual-serve: pip install 'keras-tricks[serve]'")
    from tui.web_server import WebServer, is_loopback

    with _listening(host, port) as sock:
        if not is_loopback(sock.getsockname()[0]):
            say(f"warning: there is no password. Whoever reaches {host}:{port} can start, stop and delete runs as you.")
        words = [sys.executable, "-m", "keras_tricks", "--runs-dir", str(runs_root(runs_dir).absolute())]
        WebServer(f"exec {shlex.join(words)}", sock).serve()


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        RunError: Another program listens there, or it is no address of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address, family=family)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
        raise RunError(f"Cannot listen on {host}, port {port}: {reason}. Choose another with --port.") from error
