"""Time the live mode of the terminal UI with long curves: the first load of a run, and a refresh.

    python benchmarks/ui_chart.py --points 100000

The run has four noisy metrics of that many points. A refresh reads rows that were appended and draws again, until the
screen is painted: once with a chart for each metric, once with one chart of all four. Its reading is done by a thread,
its drawing is not. All curves are smoothed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from textual.app import App
from textual.widget import Widget

from keras_tricks.runs import RunWriter, create_run, schema
from tui.app import KerasTricksApp
from tui.messages import RunRead
from tui.run_watcher import RunWatcher
from tui.screens.live import LiveScreen
from tui.widgets.chart import Chart, Line

METRICS = ("loss", "accuracy", "learning_rate", "images_per_second")
COLORS = ("primary", "warning", "accent", "success")
NEW_ROWS = 20
SMOOTHING = 0.9

Times = tuple[float, float]


def main() -> None:
    """Measure and print the table."""
    options = _options()
    width, height = options.size
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KERAS_TRICKS_CONFIG"] = str(Path(folder) / "config")
        directory = _run(Path(folder), options.points)
        size = (directory / schema.METRICS_FILE).stat().st_size / 2**20
        loads = [_times_of(RunWatcher(directory).look) for _ in range(options.loads)]
        reads, draws = asyncio.run(_live_screen(Path(folder), directory, options))
        one_chart = asyncio.run(_one_chart(directory, options))
    print(
        f"4 series x {options.points} points ({size:.0f} MiB), {width}x{height} terminal, smoothed {SMOOTHING}, "
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n"
    )
    print("| what | median, ms | largest, ms | of it computing, median, ms | n |\n|---|---|---|---|---|")
    for what, times in (
        ("first load, in a thread", loads),
        (f"refresh, 4 charts: reading {NEW_ROWS} rows, in a thread", reads),
        ("refresh, 4 charts: drawing", draws),
        ("refresh, 1 chart of 4 series: drawing", one_chart),
    ):
        wall, computing = zip(*times, strict=True)
        print(
            f"| {what} | {statistics.median(wall):.1f} | {max(wall):.1f} | {statistics.median(computing):.1f} "
            f"| {len(times)} |"
        )


async def _live_screen(root: Path, directory: Path, options: argparse.Namespace) -> tuple[list[Times], list[Times]]:
    """The times of reading and drawing new rows on the live screen."""
    reads, draws = [], []
    app = type("Live", (KerasTricksApp,), {"DEFAULT_MODE": "live"})(root, refresh_s=60.0)
    async with app.run_test(size=options.size) as pilot:
        screen = app.screen
        while not isinstance(screen, LiveScreen) or not screen.query(Chart):
            await pilot.pause(0.1)
            screen = app.screen
        for chart in screen.query(Chart):
            chart.smoothing = SMOOTHING
        watcher = RunWatcher(directory)
        app.watched = directory
        for index in range(options.refreshes):
            _append(directory, options.points + index * NEW_ROWS, NEW_ROWS)
            begin = _now()
            view = watcher.look()
            read, begin = _since(begin), _now()
            await screen.on_run_read(RunRead(view))
            await _painted(screen)
            if index:
                reads.append(read)
                draws.append(_since(begin))
    return reads, draws


async def _one_chart(directory: Path, options: argparse.Namespace) -> list[Times]:
    """The times of drawing one chart of all metrics."""
    lines = tuple(Line(metric, metric, color) for metric, color in zip(METRICS, COLORS, strict=True))
    chart = Chart("all", lines, id="all")
    curves = RunWatcher(directory).look().curves
    times = []

    class ChartApp(App[None]):
        def get_theme_variable_defaults(self) -> dict[str, str]:
            return {"muted": "#8b96aa", "faint": "#66718a"}

        def compose(self):
            yield chart

    app = ChartApp()
    async with app.run_test(size=options.size) as pilot:
        chart.smoothing = SMOOTHING
        await pilot.pause()
        for index in range(options.refreshes):
            length = options.points - options.refreshes + index
            points = {name: (curve.step[:length], curve.value[:length]) for name, curve in curves.items()}
            begin = _now()
            chart.show(points, "step")
            await _painted(chart)
            if index:
                times.append(_since(begin))
    return times


async def _painted(widget: Widget) -> None:
    """Wait until everything is drawn: a plot is drawn with one painting, and its canvas with the next."""
    for _ in range(2):
        is_painted = asyncio.Event()
        widget.call_after_refresh(is_painted.set)
        await is_painted.wait()


def _run(root: Path, points: int) -> Path:
    directory = create_run(root, "long", {"name": "long", "model": "resnet20", "data": "digits"})
    with RunWriter(directory) as writer:
        writer.begin(epochs=100, steps=2 * points)
        _append(directory, 1, points - 1)
        writer.end("stopped")
    return directory


def _append(directory: Path, step: int, count: int) -> None:
    with (directory / schema.METRICS_FILE).open("a") as file:
        file.writelines(schema.encode(_row(step)) + "\n" for step in range(step, step + count))


def _row(step: int) -> dict:
    noise = np.random.default_rng(step).normal(size=4).tolist()
    values = (2 / (1 + step * 1e-4) + 0.1 * noise[0], 0.5 + 0.1 * noise[1], 0.1 + 1e-3 * noise[2], 800 + 40 * noise[3])
    return {
        "kind": "step",
        "t": 1.8e9 + 0.05 * step,
        "attempt": 1,
        "epoch": step // 1000,
        "step": step,
        "values": dict(zip(METRICS, values, strict=True)),
    }


def _times_of(work: Callable[[], object]) -> Times:
    begin = _now()
    work()
    return _since(begin)


def _now() -> Times:
    return time.perf_counter(), time.thread_time()


def _since(begin: Times) -> Times:
    """Milliseconds that passed, and those in which this thread computed."""
    wall, computing = _now()
    return 1e3 * (wall - begin[0]), 1e3 * (computing - begin[1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100_000, help="points of each series")
    parser.add_argument("--size", type=int, nargs=2, default=(120, 36), help="columns and rows of the terminal")
    parser.add_argument("--refreshes", type=int, default=31, help="refreshes to measure, after one more")
    parser.add_argument("--loads", type=int, default=5, help="first loads to measure")
    return parser.parse_args()


if __name__ == "__main__":
    main()
