"""Measure the list of runs of the terminal UI: 1,000 runs in 12 columns, and a refresh that changes 50 of them.

    python benchmarks/ui_runs.py

Each time is from the wish to the drawn table, with the files in the system's cache: on the clock, and on the CPU, which
says more where the machine has other things to do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from keras_tricks.presets import presets
from keras_tricks.runs import Status, create_run, schema
from keras_tricks.user_config import Preferences
from tui.app import KerasTricksApp
from tui.widgets.run_table import RunTable

COLUMNS = (
    *("state", "name", "id", "epoch", "val_accuracy", "delta.val_accuracy", "val_loss", "best"),
    *("images_per_second", "duration", "started", "tricks"),
)


def write_runs(root: Path, count: int) -> list[Path]:
    """Write `count` runs that ended; each is a copy of a first one with a status of its own."""
    recipe = presets()["quickstart"]
    first = create_run(root, recipe.name, recipe.model_dump(mode="json"))
    runs = []
    for number in range(count):
        directory = root / f"20270101T{number:06d}Z-{recipe.name}-{number:04x}"
        shutil.copytree(first, directory)
        write_status(directory, number, epoch=20)
        runs.append(directory)
    shutil.rmtree(first)
    return runs


def write_status(directory: Path, number: int, epoch: int) -> None:
    """Give a run other values."""
    share = (number % 997) / 997
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    last = {name: 1 - share / (place + 1) for place, name in enumerate(names)}
    status = Status(
        state="finished",
        attempt=1,
        host=platform.node(),
        started=1.8e9 + number,
        ended=1.8e9 + number + 60 + epoch,
        epoch=epoch,
        epochs=20,
        steps=440,
        step=22 * epoch,
        images_per_second=800 + share,
        best={"metric": "val_accuracy", "value": last["val_accuracy"], "epoch": epoch},
        last=last,
    )
    (directory / schema.STATUS_FILE).write_text(schema.encode(status.model_dump(mode="json")))


def draw(app: KerasTricksApp) -> None:
    """Draw all lines of the table."""
    table = app.screen.query_one(RunTable)
    table.render_lines(table.size.region)


class Stopwatch:
    """Seconds on the clock and on the CPU of each kind of step."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[tuple[float, float]]] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a step."""
        clock, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds.setdefault(name, []).append((time.perf_counter() - clock, time.process_time() - cpu))


async def measure(root: Path, runs: list[Path], changed: int, repeats: int) -> Stopwatch:
    """Do all steps."""
    watch = Stopwatch()
    app = KerasTricksApp(root, refresh_s=3600)
    app.selection.set_baseline(runs[0])
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.pause()
        with watch.step("list"):
            app.action_show_mode("runs")
            while not any(table.rows for table in app.screen.query(RunTable)):
                await asyncio.sleep(0.002)
            draw(app)
        screen = app.screen
        table = screen.query_one(RunTable)
        for repeat in range(repeats):
            for number, directory in enumerate(runs[:changed]):
                write_status(directory, number + repeat + 1, epoch=repeat + 1)
            await pilot.pause()
            before = table.rows
            with watch.step("refresh"):
                screen._look()
                while table.rows is before:
                    await asyncio.sleep(0.001)
                draw(app)
        for repeat in range(repeats):
            with watch.step("filter"):
                before = table.rows
                screen.query_one("#filter").value = "" if repeat % 2 else "val_accuracy>.9 trick:warmup"
                while table.rows is before:
                    await asyncio.sleep(0.001)
                draw(app)
            with watch.step("sort"):
                table.sort_by_next_column()
                draw(app)
    return watch


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--changed", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KERAS_TRICKS_CONFIG"] = f"{folder}/config"
        Preferences().changed(columns=COLUMNS).save()
        runs = write_runs(Path(folder) / "runs", options.runs)
        watch = asyncio.run(measure(Path(folder) / "runs", runs, options.changed, options.repeats))
    titles = {
        "list": f"list {options.runs} runs x {len(COLUMNS)} columns",
        "refresh": f"refresh, {options.changed} runs changed",
    }
    print(f"{'step':<32}{'n':>4}{'median ms':>12}{'worst ms':>12}{'CPU ms':>12}")
    for name, pairs in watch.seconds.items():
        clock, cpu = (sorted(1e3 * pair[side] for pair in pairs) for side in (0, 1))
        middle = len(pairs) // 2
        title = titles.get(name, name)
        print(f"{title:<32}{len(pairs):>4}{clock[middle]:>12.1f}{clock[-1]:>12.1f}{cpu[middle]:>12.1f}")
    memory = psutil.Process().memory_info().rss / 2**20
    print(f"memory of the process: {memory:.0f} MiB, on {os.cpu_count()} CPUs")


if __name__ == "__main__":
    main()
