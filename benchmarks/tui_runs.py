"""Measure the list of runs of the terminal UI: 1,000 runs in 12 columns, and a refresh that changes 50 of them.

    python benchmarks/tui_runs.py

Each time is from the wish to the drawn table, with the files in the system's cache.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from keras_tricks.presets import presets
from keras_tricks.runs import Status, create_run, schema
from keras_tricks.user_config import Preferences
from tui.app import KerasTricksApp
from tui.screens.runs import RunsScreen
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


async def measure(root: Path, runs: list[Path], changed: int, repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each kind of step."""
    seconds: dict[str, list[float]] = {"list": [], "refresh": [], "filter": [], "sort": []}
    app = KerasTricksApp(root, refresh_s=3600)
    app.selection.set_baseline(runs[0])
    async with app.run_test(size=(160, 45)) as pilot:
        start = time.perf_counter()
        await pilot.press("3")
        while not (isinstance(app.screen, RunsScreen) and app.screen.query_one(RunTable).rows):
            await asyncio.sleep(0.002)
        draw(app)
        seconds["list"].append(time.perf_counter() - start)
        table, screen = app.screen.query_one(RunTable), app.screen
        for repeat in range(repeats):
            for number, directory in enumerate(runs[:changed]):
                write_status(directory, number + repeat + 1, epoch=repeat + 1)
            await pilot.pause()
            before = table.rows
            start = time.perf_counter()
            screen._look()
            while table.rows is before:
                await asyncio.sleep(0.001)
            draw(app)
            seconds["refresh"].append(time.perf_counter() - start)
        for key, action in (("filter", "val_accuracy>.9 trick:warmup"), ("sort", None)):
            for _ in range(repeats):
                start = time.perf_counter()
                if action:
                    screen.query_one("#filter").value = "" if screen.query_one("#filter").value else action
                else:
                    await pilot.press("o")
                await pilot.pause()
                draw(app)
                seconds[key].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--changed", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KERAS_TRICKS_CONFIG"] = f"{folder}/config"
        Preferences().changed(columns=COLUMNS).save()
        runs = write_runs(Path(folder) / "runs", options.runs)
        seconds = asyncio.run(measure(Path(folder) / "runs", runs, options.changed, options.repeats))
    memory = psutil.Process().memory_info().rss / 2**20
    rows = {
        f"list {options.runs} runs x {len(COLUMNS)} columns": seconds["list"],
        f"refresh, {options.changed} changed": seconds["refresh"],
        "filter": seconds["filter"],
        "sort": seconds["sort"],
    }
    if options.json:
        print(json.dumps({**rows, "memory_mib": memory}))
        return
    print(f"{'step':<32}{'n':>4}{'median ms':>12}{'worst ms':>12}")
    for name, values in rows.items():
        print(f"{name:<32}{len(values):>4}{1e3 * sorted(values)[len(values) // 2]:>12.1f}{1e3 * max(values):>12.1f}")
    print(f"memory of the process: {memory:.0f} MiB, on {os.cpu_count()} CPUs")


if __name__ == "__main__":
    main()
