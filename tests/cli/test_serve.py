"""`keras-tricks serve`: the terminal UI in a browser, from this machine alone."""

import asyncio
import base64
import contextlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import numpy as np
import psutil
import pytest
from PIL import Image

from keras_tricks import cli
from keras_tricks.cli import serve_command
from tui.web_server import is_loopback

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1300,760",
    "--remote-debugging-port=0",
)
WAIT_S = 90


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def process(words, said):
    """Run a program until it has said something; yield what it said, and the process."""
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        lines = []
        for line in child.stdout:
            lines.append(line)
            if found := re.search(said, line):
                yield found, child
                break
        else:
            pytest.fail("".join(lines))
    finally:
        child.terminate()
        child.wait(timeout=30)
        child.stdout.close()


@contextlib.contextmanager
def server(runs):
    """Serve the terminal UI of a folder of runs; yield the address and the process."""
    port = free_port()
    words = [sys.executable, "-m", "keras_tricks", "serve", "--port", str(port), "--runs-dir", str(runs)]
    with process(words, rf"keras-tricks is at (http://127\.0\.0\.1:{port})\.") as (found, child):
        yield found[1], child


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of a server of the terminal UI on a folder without runs."""
    with server(tmp_path_factory.mktemp("served") / "runs") as (address, _):
        yield address


async def test_the_page_comes_from_this_machine_alone(address):
    async with aiohttp.ClientSession() as session:
        async with session.get(address) as answer:
            assert answer.status == 200
            page = await answer.text()
        files = re.findall(r'(?:src|href)="([^"]+)"|url\("([^"]+)"\)', page)
        paths = [path for pair in files for path in pair if path and not path.startswith("data:")]
        assert len(paths) == 4 and all(path.startswith("static/") for path in paths)
        for path in paths:
            async with session.get(f"{address}/{path}") as answer:
                assert answer.status == 200 and len(await answer.read()) > 1000
        async with session.get(address, headers={"Host": "elsewhere.example"}) as answer:
            assert answer.status == 403
        async with session.get(f"{address}/ws", headers={"Origin": "http://elsewhere.example"}) as answer:
            assert answer.status == 403 and "elsewhere.example" in await answer.text()


async def shown(ws, *words):
    """Wait until all words have come through the socket."""
    screen = b""
    while not all(word in screen for word in words):
        message = await ws.receive()
        assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT)
        screen += message.data if isinstance(message.data, bytes) else b""


async def test_the_first_paint_comes_and_keys_go_through_the_socket(address):
    url = f"{address}/ws?width=80&height=24"
    async with (
        asyncio.timeout(WAIT_S),
        aiohttp.ClientSession() as session,
        session.ws_connect(url, headers={"Origin": address}) as ws,
    ):
        await shown(ws, b"keras-tricks", b"Launch", b"quickstart")
        await ws.send_json(["stdin", "3"])
        await shown(ws, b"No runs yet.")


async def test_the_end_of_the_server_is_the_end_of_its_terminal_uis(tmp_path):
    with server(tmp_path / "runs") as (address, child):
        async with (
            asyncio.timeout(WAIT_S),
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{address}/ws") as ws,
        ):
            await shown(ws, b"quickstart")
            uis = psutil.Process(child.pid).children(recursive=True)
            assert uis
            child.send_signal(signal.SIGINT)
            while (await ws.receive()).type != aiohttp.WSMsgType.CLOSED:
                pass
        assert child.wait(timeout=WAIT_S) == 0
        assert not psutil.wait_procs(uis, timeout=WAIT_S)[1]


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
async def test_a_browser_shows_it(address, tmp_path):
    words = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "about:blank"]
    with process(words, r"DevTools listening on ws://(127\.0\.0\.1:\d+)/") as (found, _):
        async with aiohttp.ClientSession() as session, asyncio.timeout(WAIT_S):
            async with session.get(f"http://{found[1]}/json/list") as answer:
                pages = [target for target in await answer.json() if target["type"] == "page"]
            async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as ws:
                asked = []

                async def browser(method, **parameters):
                    number = 1 + len(asked)
                    asked.append(method)
                    await ws.send_json({"id": number, "method": method, "params": parameters})
                    while (answer := await ws.receive_json()).get("id") != number:
                        if answer.get("method") == "Network.requestWillBeSent":
                            requested.append(answer["params"]["request"]["url"])
                    return answer["result"]

                requested = []
                await browser("Network.enable")
                await browser("Page.navigate", url=address)
                state = "[...document.body.classList, document.fonts.status, document.activeElement.className].join()"
                ready = "-loaded,-first-byte,loaded,xterm-helper-textarea"
                while (await browser("Runtime.evaluate", expression=state))["result"].get("value") != ready:
                    await asyncio.sleep(0.1)
                while True:
                    data = (await browser("Page.captureScreenshot"))["data"]
                    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
                    if len(np.unique(np.asarray(image).reshape(-1, 3), axis=0)) > 200:
                        break
                    await asyncio.sleep(0.2)
    if folder := os.environ.get("KERAS_TRICKS_SCREENSHOTS"):
        image.save(f"{folder}/serve.png")
    pixels = np.asarray(image).astype(int)
    accent = np.abs(pixels - (0xFF, 0x8F, 0x6B)).sum(axis=-1) < 30
    assert accent[:40].any() and accent[-40:].any(), "The name on top and the keys at the bottom are drawn."
    assert requested and all(url.startswith((address, "data:")) for url in requested)


def refused(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", *words])
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_what_cannot_be_served_says_why(capsys, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        message = refused(capsys, "--port", port)
    assert f"Cannot listen on 127.0.0.1, port {port}" in message and "--port" in message
    assert "Cannot listen on 192.0.2.1" in refused(capsys, "--host", "192.0.2.1")
    find_spec = serve_command.importlib.util.find_spec
    monkeypatch.setattr(
        serve_command.importlib.util, "find_spec", lambda name: None if name == "textual_serve" else find_spec(name)
    )
    assert "pip install 'keras-tricks[serve]'" in refused(capsys)


def test_other_hosts_are_served_after_a_warning(capsys, monkeypatch):
    served = []
    monkeypatch.setattr("tui.web_server.WebServer.serve", lambda server: served.append((server.host, server.command)))
    for host in ("127.0.0.1", "0.0.0.0"):
        with pytest.raises(SystemExit) as ended:
            cli.main(["serve", "--host", host, "--port", str(free_port()), "--runs-dir", "some runs"])
        assert not ended.value.code
        assert ("there is no password" in capsys.readouterr().err) == (host == "0.0.0.0")
    assert [host for host, _ in served] == ["127.0.0.1", "0.0.0.0"]
    assert served[0][1].endswith(f"-m keras_tricks --runs-dir '{Path.cwd()}/some runs'")
    assert json.dumps([is_loopback(host) for host in ("localhost", "::1", "127.9.9.9", "0.0.0.0", "box")]) == (
        "[true, true, true, false, false]"
    )
