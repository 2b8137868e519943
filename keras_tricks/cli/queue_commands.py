"""`keras-tricks queue`: runs that wait, in lanes, for a runner that outlives this terminal."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from typing import Annotated, Any

import typer

from keras_tricks import presets
from keras_tricks.ablation import parse_seeds
from keras_tricks.cli.options import AsJson, RunsDir, console, print_json, print_table, runs_root
from keras_tricks.cli.recipe_options import (
    Data,
    DataDir,
    RecipeName,
    Settings,
    Tricks,
    Weights,
    WeightsHead,
    Without,
    changed_recipe,
    refuse_errors,
)
from keras_tricks.queue import DEFAULT_LANE, ListedLane, QueuedRun, QueueLister, RunQueue, lane_name, place_of
from keras_tricks.recipe import Recipe, RecipeError
from keras_tricks.runs import RunError

app = typer.Typer(help="Queue runs; a runner for each lane trains them one after the other.", no_args_is_help=True)

_LANE_HELP = "Devices that train one run at a time: all, cpu, gpu0, gpu1, gpu0,1 and so on."
_LaneChoice = Annotated[str, typer.Option("--lane", metavar="LANE", help=_LANE_HELP)]
_AnyLane = Annotated[
    str | None, typer.Option("--lane", metavar="LANE", help="The lane; all lanes if unset.", show_default=False)
]
_Name = Annotated[str, typer.Argument(help="A queued run's id, or a unique part of it.")]


@app.command()
def add(
    recipe: RecipeName,
    settings: Settings = None,
    tricks: Tricks = None,
    no_trick: Without = None,
    data: Data = None,
    data_dir: DataDir = None,
    weights: Weights = None,
    weights_head: WeightsHead = None,
    lane: _LaneChoice = DEFAULT_LANE,
    times: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Queue it so often, each with the next seed.", show_default=False),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="SEEDS", help="Queue it once for each of these seeds, as 0-4 or 0,1,7.", show_default=False
        ),
    ] = None,
    start: Annotated[bool, typer.Option("--start/--no-start", help="Start the lane's runner if none is alive.")] = True,
    runs_dir: RunsDir = None,
) -> None:
    """Queue a recipe at the end of a lane."""
    fields = {"data": data, "data_dir": data_dir, "weights": weights, "weights_head": weights_head}
    changed = changed_recipe(presets.find_recipe(recipe), settings, tricks, no_trick, fields)
    variants = _with_seeds(changed, times, seeds)
    lane = lane_name(lane)
    refuse_errors(changed)
    queue = RunQueue(runs_root(runs_dir))
    for variant in variants:
        print(f"{queue.add(variant, argv=sys.argv, lane=lane).id} queued in the lane {lane}")
    if start:
        queue.ensure_runner(lane)
    found = next(found for found in QueueLister(runs_root(runs_dir)).look().lanes if found.name == lane)
    print(_runner_line(found))


@app.command("ls")
def list_queue(runs_dir: RunsDir = None, as_json: AsJson = False) -> None:
    """List the lanes, what they train and what waits there."""
    listing = QueueLister(runs_root(runs_dir)).look()
    if as_json:
        print_json(
            {
                "lanes": [
                    {
                        "lane": lane.name,
                        "runner": lane.state,
                        "pid": lane.pid,
                        "reason": lane.reason,
                        "shares_with": lane.shares_with,
                        "runs": [_document(run) for run in lane.runs],
                    }
                    for lane in listing.lanes
                ],
                "ended": [_document(run) for run in listing.ended],
            }
        )
        return
    out = console()
    if not any(lane.runs or lane.pid for lane in listing.lanes) and not listing.ended:
        out.print(f"Nothing is queued in {runs_root(runs_dir)}. Try: keras-tricks queue add quickstart")
        return
    for lane in listing.lanes:
        out.print(_runner_line(lane), markup=False)
    rows = [_row(run) for lane in listing.lanes for run in lane.runs] + [_row(run) for run in listing.ended]
    if rows:
        print_table(("lane", "place", "run", "state", "differs", "added", "progress"), rows)


@app.command("mv")
def move(
    run: _Name,
    place: Annotated[
        str | None, typer.Argument(help="Place counted from 1, or up, down, first or last.", show_default="last")
    ] = None,
    lane: Annotated[
        str | None, typer.Option("--lane", metavar="LANE", help=f"Move it there. {_LANE_HELP}", show_default=False)
    ] = None,
    runs_dir: RunsDir = None,
) -> None:
    """Move a waiting run to another place or lane."""
    if place is None and lane is None:
        raise RunError("Name a place, a number or up, down, first or last, or a lane with --lane.")
    queue = RunQueue(runs_root(runs_dir))
    queue.move(_find(queue, run), place_of(place or "last"), lane)
    list_queue(runs_dir)


@app.command("rm")
def remove_queued(
    runs: Annotated[list[str], typer.Argument(help="Queued runs to remove.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    runs_dir: RunsDir = None,
) -> None:
    """Take runs out of the queue and delete their directories."""
    queue = RunQueue(runs_root(runs_dir))
    for run in [_find(queue, name) for name in runs]:
        if yes or typer.confirm(f"Remove {run} from the queue, and its directory?"):
            queue.remove(run)
            print(f"removed {run}")


@app.command("start")
def start_runners(lane: _AnyLane = None, runs_dir: RunsDir = None) -> None:
    """Start the runner of a lane, or of each lane where something waits; undo a stop that is not done yet."""
    root = runs_root(runs_dir)
    queue = RunQueue(root)
    listing = QueueLister(root).look()
    names = [found.name for found in listing.lanes if found.runs] if lane is None else [lane_name(lane)]
    stopping = [found.name for found in listing.lanes if found.state == "stopping"]
    if not names:
        raise RunError(f"Nothing is queued in {root}. `keras-tricks queue add quickstart` begins.")
    for name in names:
        pid = queue.start(name)
        old = "goes on" if name in stopping else "is alive already"
        done = old if pid is None else f"started as process {pid}"
        print(f"lane {name}: its runner {done}. Its log is {queue.log(name)}")


@app.command()
def stop(
    lane: _AnyLane = None,
    now: Annotated[bool, typer.Option("--now", help="Stop the run in progress too; it keeps its checkpoint.")] = False,
    runs_dir: RunsDir = None,
) -> None:
    """Stop a lane, or all, after the run in progress. What waits goes on waiting."""
    root = runs_root(runs_dir)
    lanes = [found for found in QueueLister(root).look().lanes if found.pid is not None or _is_training(found)]
    names = [found.name for found in lanes] if lane is None else [lane_name(lane)]
    if not names:
        raise RunError("No lane has a runner that could stop.")
    for name in names:
        RunQueue(root).stop(name, now=now)
        print(f"lane {name}: stops {'now' if now else 'after the run in progress'}")


def _with_seeds(recipe: Recipe, times: int | None, seeds: str | None) -> list[Recipe]:
    if times is not None and seeds is not None:
        raise RecipeError(f"--times and --seeds exclude each other. Received: --times {times} --seeds {seeds}")
    numbers = range(recipe.seed, recipe.seed + (times or 1)) if seeds is None else parse_seeds(seeds)
    return [presets.change(recipe, [f"seed={number}"]) for number in numbers]


def _find(queue: RunQueue, name: str) -> str:
    """Return the id of the run of the queue that a name means."""
    known = [item.run for lane in queue.read().lanes for item in lane.items]
    found = [run for run in known if run == name] or [run for run in known if name in run]
    if not found:
        raise RunError(
            f"There is no run {name!r} in the queue ({len(known)} runs). `keras-tricks queue ls` lists them."
        )
    if len(found) > 1:
        raise RunError(f"{name!r} means {len(found)} runs ({', '.join(found[:5])}). Give more of the name.")
    return found[0]


def _is_training(lane: ListedLane) -> bool:
    return any(run.summary.is_live for run in lane.runs)


def _runner_line(lane: ListedLane) -> str:
    count = sum(run.place is not None for run in lane.runs)
    waiting = f"{count} run{'s' * (count != 1)} waiting"
    runner = {
        "running": f"its runner is process {lane.pid}",
        "stopping": f"its runner, process {lane.pid}, stops after the run in progress; `queue start` undoes that",
        "gone": "its runner was killed; `keras-tricks queue start` goes on",
        "none": "no runner" + (f", the last one ended: {lane.reason}" if lane.reason else ""),
    }[lane.state]
    shared = f"; the lane {' and '.join(lane.shares_with)} uses its devices too" if lane.shares_with else ""
    return f"lane {lane.name}: {runner}; {waiting}{shared}"


def _document(run: QueuedRun) -> dict[str, Any]:
    status = run.summary.status
    return {
        "run": run.summary.id,
        "name": run.summary.name,
        "lane": run.lane,
        "place": run.place,
        "state": run.summary.state,
        "differs": run.differs,
        "added": run.added,
        "ended": run.ended,
        "epoch": status.epoch,
        "epochs": status.epochs,
        "eta_s": status.eta_s,
        "error": run.summary.error or None,
    }


def _row(run: QueuedRun) -> tuple[str, ...]:
    status = run.summary.status
    progress = f"{status.epoch}/{status.epochs}" if status.epochs else ""
    if run.summary.is_live and status.eta_s is not None:
        progress += f", {status.eta_s:.0f} s left"
    added = datetime.fromtimestamp(run.added).astimezone()
    return (
        run.lane,
        "" if run.place is None else str(run.place),
        run.summary.id,
        run.summary.state,
        run.differs,
        added.strftime("%H:%M" if time.time() - run.added < 43_200 else "%m-%d %H:%M"),
        run.summary.error.replace("\n", " ") or progress,
    )
