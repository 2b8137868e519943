"""Make a run directory: the launcher's first files."""

from __future__ import annotations

import platform
import re
import secrets
import socket
import subprocess
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from keras_tricks.runs import schema
from keras_tricks.runs.schema import RunError, Status
from keras_tricks.runs.storage import cannot_write, write_atomically


def create_run(
    root: str | Path,
    name: str,
    recipe: dict[str, Any] | None,
    *,
    argv: list[str] | None = None,
    parent: str | None = None,
    ablation: dict[str, Any] | None = None,
) -> Path:
    """Make a new run directory under `root` and return it.

    It is named `<UTC stamp>-<name>-<4 hex digits>`, holds `recipe.json`, and its state is `queued`. Without a recipe it
    is the record of somebody's own `model.fit`.

    Args:
        root: The folder of run directories; made if absent.
        name: The run's name.
        recipe: The recipe as a value of JSON, or None.
        argv: The words of the command that trains it. Defaults to none.
        parent: Id of the run whose recipe this one's was made from. Defaults to None.
        ablation: Where it belongs to a set of variants: their `id`, the `variant` and its `place`. Defaults to None.

    Raises:
        RunError: `root` is full, read-only or not a directory. Nothing is left behind then.
    """
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    directory = Path(root) / f"{stamp}-{slug}-{secrets.token_hex(2)}"
    document = {
        "schema_version": schema.SCHEMA_VERSION,
        "name": name,
        "recipe": recipe,
        "argv": argv or [],
        "created": time.time(),
        "host": socket.gethostname(),
        "git_commit": _git_commit(),
        "versions": _versions(),
        "seed": None if recipe is None else recipe.get("seed"),
        "parent": parent,
        "ablation": ablation,
    }
    try:
        directory.mkdir(parents=True)
    except OSError as error:
        raise RunError(cannot_write(root, error)) from error
    try:
        write_atomically(directory / schema.RECIPE_FILE, schema.encode(document))
        write_atomically(
            directory / schema.STATUS_FILE,
            schema.encode(Status(host=socket.gethostname(), heartbeat=time.time()).model_dump()),
        )
    except OSError as error:
        for left_over in directory.iterdir():
            left_over.unlink()
        directory.rmdir()
        raise RunError(cannot_write(root, error)) from error
    return directory


def _git_commit() -> str | None:
    source = Path(__file__).resolve().parents[2]
    if not (source / ".git").exists():
        return None
    answer = subprocess.run(
        ["git", "-C", str(source), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or None


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in ("keras-tricks", "keras", "tensorflow", "jax", "torch"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
