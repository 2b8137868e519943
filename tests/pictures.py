"""Take the pictures of the README: `python -m tests.pictures RUNS`, with the runs of a `keras-tricks ablate`."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from keras_tricks.runs import list_runs
from tui.app import KerasTricksApp

FOLDER = Path(__file__).resolve().parents[1] / "pictures"
SIZE = (120, 36)
_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def keys(*pressed: str) -> Callable[[Pilot], None]:
    """Return what presses some keys."""

    async def press(pilot: Pilot) -> None:
        for key in pressed:
            await pilot.press(key)
            await pilot.pause(0.3)

    return press


PICTURES = {
    "launch": ("launch", keys("p", "down", "down")),
    "live": ("live", keys()),
    "runs": ("runs", keys("slash", *"state:finished", "enter")),
    "compare": ("compare", keys("a")),
}
"""The mode of each picture, and what is pressed there."""


async def take(root: Path, name: str) -> None:
    """Take one picture."""
    mode, press = PICTURES[name]
    app = type("App", (KerasTricksApp,), {"DEFAULT_MODE": mode})(root)
    app.animation_level = "none"
    runs = [run for run in list_runs(root) if run.document().get("ablation")]
    runs.sort(key=lambda run: (run.document()["ablation"]["place"], run.id))
    app.selection.mark(run.directory for run in runs)
    app.selection.baseline = runs[0].directory
    app.watched = runs[-1].directory
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(3)
        await press(pilot)
        await pilot.pause(2)
        # Fonts from elsewhere are neither needed nor asked for.
        picture = _FONT.sub("", app.export_screenshot(title="keras-tricks"))
    (FOLDER / f"{name}.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as config:
        os.environ["KERAS_TRICKS_CONFIG"] = config
        os.environ.pop("NO_COLOR", None)
        for name in PICTURES:
            asyncio.run(take(Path(sys.argv[1]), name))
