"""`keras-tricks runs`: show, stop, resume and remove runs; its other commands come from files of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keras_tricks.cli import compare_command, run_lists, watching
from keras_tricks.cli.launching import LauncherName, WorkerCount, check_launcher, launch
from keras_tricks.cli.options import (
    AsJson,
    RunsDir,
    console,
    print_json,
    runs_root,
    say,
)
from keras_tricks.cli.train_commands import train_or_follow
from keras_tricks.cluster import find_workers
from keras_tricks.runs import (
    LIVE_STATES,
    RunError,
    find_run,
    kill,
    remove,
    request_stop,
    require_ours,
    terminate,
    wait,
)
from keras_tricks.runs import start as start_run

app = typer.Typer(help="List, show, watch, compare, stop, resume and remove runs.", no_args_is_help=True)
run_lists.add_to(app)
watching.add_to(app)
compare_command.add_to(app)

_Name = Annotated[str, typer.Argument(help="A run's id, a unique part of it, its directory, or `last`.")]
_WAIT_S = 60.0


@app.command()
def show(run: _Name, runs_dir: RunsDir = None, as_json: AsJson = False) -> None:
    """Show one run: recipe, state, last metrics, events."""
    found = find_run(runs_root(runs_dir), run)
    document = {
        "id": found.id,
        **found.status().model_dump(exclude={"schema_version"}),
        "directory": str(found.directory),
        "written_by": found.document().get("written_by"),
        "recipe": found.document().get("recipe"),
        "versions": found.document().get("versions"),
        "result": found.result(),
        "events": [event.model_dump() for event in found.events()[-10:]],
    }
    if as_json:
        print_json(document)
        return
    out = console()
    for name in (
        "id",
        "state",
        "error",
        "directory",
        "written_by",
        "attempt",
        "pid",
        "host",
        "epoch",
        "epochs",
        "step",
    ):
        if document.get(name) not in (None, "") and (name != "epochs" or document[name]):
            out.print(f"{name:12} {document[name]}", markup=False)
    for name, value in document["last"].items():
        out.print(f"{name:12} {value:.5g}", markup=False)
    recipe = document["recipe"] if isinstance(document["recipe"], dict) else {}
    for trick in recipe.get("tricks", []):
        if not isinstance(trick, dict) or "trick" not in trick:
            continue
        settings = "  ".join(f"{name} {value}" for name, value in trick.items() if name != "trick")
        out.print(f"{'trick':12} {trick['trick']:18} {settings}".rstrip(), markup=False)
    for event in document["events"]:
        out.print(f"{event['kind']:12} {event['message']}", markup=False)


@app.command()
def stop(
    run: _Name,
    force: Annotated[bool, typer.Option("--kill", help="Kill it at once instead of asking.")] = False,
    runs_dir: RunsDir = None,
) -> None:
    """Ask a run to stop, and send SIGTERM if it does not."""
    found = find_run(runs_root(runs_dir), run)
    if force:
        kill(found)
    else:
        request_stop(found)
    status = wait(found, timeout_s=_WAIT_S)
    if status.state in LIVE_STATES:
        say(f"{found.id} did not stop within {_WAIT_S:.0f} s; sending SIGTERM")
        terminate(found)
        status = wait(found, timeout_s=_WAIT_S)
    if status.state in LIVE_STATES:
        raise RunError(f"{found.id} goes on. `keras-tricks runs stop --kill {found.id}` ends it.")
    print(f"{found.id} is {status.state} after {status.epoch} of {status.epochs} epochs")


@app.command()
def resume(
    run: _Name,
    detach: Annotated[bool, typer.Option("--detach", help="Go on in a process of its own.")] = False,
    launcher: LauncherName = None,
    workers: WorkerCount = None,
    runs_dir: RunsDir = None,
) -> None:
    """Go on with a run that was stopped, killed or failed, also with another number of workers."""
    check_launcher(launcher, workers, detach)
    if not find_workers().is_chief:
        train_or_follow(Path(run), show_progress=False)
        return
    found = find_run(runs_root(runs_dir), run)
    require_ours(found)
    status = found.status()
    if status.state in LIVE_STATES:
        raise RunError(f"{found.id} is {status.state} as process {status.pid}. There is nothing to resume.")
    if status.state == "finished":
        raise RunError(f"{found.id} is finished. Start a new run to train longer.")
    if detach:
        print(f"{found.id} goes on as process {start_run(found, resume=True)}")
        return
    if launcher is not None and workers is not None:
        launch(found.directory, launcher, workers)
        return
    train_or_follow(found.directory, show_progress=True)


@app.command("rm")
def remove_runs(
    runs: Annotated[list[str] | None, typer.Argument(help="Runs to remove.", show_default=False)] = None,
    expression: run_lists.Filter = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    runs_dir: RunsDir = None,
) -> None:
    """Remove runs with all their files."""
    found = run_lists.choose_runs(runs_root(runs_dir), runs or [], expression)
    stay = 0
    for run in found:
        try:
            require_ours(run)
            if yes or typer.confirm(f"Remove {run.directory} and its model?"):
                remove(run)
                print(f"removed {run.id}")
        except (RunError, OSError) as error:
            if len(found) == 1:
                raise
            stay += 1
            say(str(error))
    if stay:
        raise RunError(f"{stay} of {len(found)} runs stay as they are.")
