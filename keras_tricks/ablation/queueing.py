"""Put the runs of an ablation into the queue, all or none."""

from __future__ import annotations

import contextlib
import secrets
import shlex
from collections.abc import Sequence

from keras_tricks.ablation.designs import Design, Variant
from keras_tricks.presets import command
from keras_tricks.queue import DEFAULT_LANE, RunQueue
from keras_tricks.recipe import Recipe
from keras_tricks.runs import Run, RunError


def queue_variants(
    queue: RunQueue,
    runs: Sequence[Variant],
    design: Design,
    start: str | Recipe,
    *,
    lane: str = DEFAULT_LANE,
    parent: str | None = None,
) -> list[Run]:
    """Add the runs of an ablation to a lane, under an id that they share, and return them.

    Args:
        queue: The queue.
        runs: What `variants` returned.
        design: The design that they are of.
        start: The recipe that their commands name (see `presets.command`).
        lane: The lane. Defaults to `all`.
        parent: Id of the run that the recipe was made from. Defaults to None.

    Raises:
        RunError: A variant has an error, or nothing can be written. Nothing is left then, but for runs that a runner of
            the lane took meanwhile.
    """
    for run in runs:
        if run.errors:
            raise RunError(f"{run.name}: {run.errors[0]}")
    ablation = {"id": secrets.token_hex(4), "design": design}
    added: list[Run] = []
    try:
        for run in runs:
            added.append(
                queue.add(
                    run.recipe,
                    argv=shlex.split(command(run.recipe, start)),
                    parent=parent,
                    lane=lane,
                    ablation={**ablation, "variant": run.name, "place": run.place},
                )
            )
    except RunError:
        for one in added:
            with contextlib.suppress(RunError):
                queue.remove(one.id)
        raise
    return added
