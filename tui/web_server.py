"""WebServer: the terminal UI in a browser, one process of it for each page that is opened."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from textual_serve.server import Server

_PATIENCE_S = 5.0
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class WebServer(Server):
    """Serve the terminal UI with textual-serve, from this machine's files alone.

    Whoever reaches the server can do what the user can, so a page of another site is turned away: its browser says
    where it comes from. On a loopback address, a name that only points here is turned away too.

    Args:
        command: The command that opens the terminal UI.
        listening: A socket that listens where the page is to be.
    """

    def __init__(self, command: str, listening: socket.socket):
        host, port = listening.getsockname()[:2]
        templates = Path(__file__).resolve().with_name("web")
        super().__init__(command, host, port, title="keras-tricks", templates_path=templates)
        self._listening = listening
        self._pages: set[asyncio.Task[object]] = set()

    def serve(self, debug: bool = False) -> None:
        """Serve until Ctrl+C or SIGTERM; each page's terminal UI is asked to end then.

        Args:
            debug: Whether the terminal UI writes Textual's log. Defaults to False.
        """
        self.debug = debug
        self.initialize_logging()
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        runner = web.AppRunner(await self._make_app(), shutdown_timeout=_PATIENCE_S)
        await runner.setup()
        await web.SockSite(runner, self._listening).start()
        await ended.wait()
        await runner.cleanup()

    def initialize_logging(self) -> None:
        """Say only what goes wrong."""
        logging.basicConfig(level=logging.WARNING, format="%(message)s")

    async def on_startup(self, app: web.Application) -> None:
        """Say where the page is."""
        address = f"[{self.host}]" if ":" in self.host else self.host
        self.console.print(f"keras-tricks is at http://{address}:{self.port}. Ctrl+C ends it; runs go on.", style=None)

    async def on_shutdown(self, app: web.Application) -> None:
        """Ask the terminal UI of each page to end, and wait for a while until they have."""
        pages = set(self._pages)
        for page in pages:
            page.cancel()
        if pages:
            await asyncio.wait(pages, timeout=_PATIENCE_S)

    async def handle_index(self, request: web.Request) -> web.StreamResponse:
        """Answer with the page, unless it is asked for by a name that is not this machine's."""
        self._require_own_name(request)
        return await super().handle_index(request)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Connect a page with its process, unless it is a page of another site."""
        self._require_own_name(request)
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden(text=f"A page of {origin} may not use keras-tricks.")
        task = asyncio.current_task()
        assert task is not None
        self._pages.add(task)
        try:
            return await super().handle_websocket(request)
        finally:
            self._pages.discard(task)

    def _require_own_name(self, request: web.Request) -> None:
        name = urlsplit(f"//{request.host}").hostname
        if is_loopback(self.host) and name not in {*_LOOPBACK_NAMES, self.host}:
            raise web.HTTPForbidden(text=f"This is localhost, and not {name}.")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
