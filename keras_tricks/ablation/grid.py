"""Grid: the cells of an ablation, each a variant with a seed and its run, and what is left to do for each."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from keras_tricks.ablation.designs import Design, Variant
from keras_tricks.presets import command
from keras_tricks.recipe import Recipe, RecipeError
from keras_tricks.runs import Run, RunError, create_run, open_run, schema
from keras_tricks.runs.comparison import NOT_COMPARED
from keras_tricks.runs.storage import cannot_write
from keras_tricks.runs.summary import RunSummary, summarize_all

FOLDER = "ablations"
"""The folder of the reports and records of ablations beside the runs; it holds no run."""

Action = Literal["keep", "wait for", "train", "resume", "train again", "leave"]
"""What is left to do for a cell.

- `keep`: it is finished.
- `wait for`: it is being trained.
- `train`: it has not begun.
- `resume`: it goes on from its checkpoint.
- `train again`: it has no checkpoint and begins anew in its directory.
- `leave`: it failed, and is to be left so.
"""

_ID = re.compile(r"[\w-]{1,40}")


def identity(recipe: Recipe, *, with_seed: bool = True) -> str:
    """Return what is the same for two recipes exactly if they train the same: all fields but name and words.

    Args:
        recipe: The recipe.
        with_seed: Whether the seed counts. Defaults to True.
    """
    left_out = NOT_COMPARED if with_seed else NOT_COMPARED | {"seed"}
    document = recipe.with_absolute_paths().model_dump(mode="json", exclude=set(left_out))
    return json.dumps(document, sort_keys=True)


@dataclass(frozen=True)
class Cell:
    """A variant with a seed.

    Args:
        variant: The variant.
        action: What is left to do for it.
        run: Its run; None before `Grid.make_runs` has made it.
        state: The state of the run at the last look, empty without one.
    """

    variant: Variant
    action: Action
    run: Run | None = None
    state: str = ""

    @property
    def title(self) -> str:
        """Variant and seed in words."""
        return f"{self.variant.name}, seed {self.variant.seed}"


class Grid:
    """The cells of an ablation, and the runs that they have in a folder of runs.

    The runs of an ablation share an id, which stands in their `recipe.json`. It follows from the design and the recipes
    of all variants, but not from the seeds: the same words find the same runs again, and more seeds add to them.

    Args:
        root: The folder of run directories.
        variants: What `variants` returned.
        design: The design that they are of.
        base_name: The preset or recipe that the commands of the runs name.
        ablation_id: The id, also of an ablation that was queued. Defaults to the one that follows from the variants.

    Raises:
        RecipeError: The id is no word, or it is that of another ablation.
    """

    def __init__(
        self,
        root: str | Path,
        variants: Sequence[Variant],
        design: Design,
        base_name: str,
        ablation_id: str | None = None,
    ):
        if ablation_id is not None and not _ID.fullmatch(ablation_id):
            raise RecipeError(
                f"Expected an id of letters, digits, - and _, at most 40. Received: ablation_id={ablation_id!r}"
            )
        self.root = Path(root)
        self.design = design
        self.id = ablation_id or _derived_id(variants, design)
        self._base_name = base_name
        # Two variants may be one recipe: it is trained once.
        self._variants = {identity(variant.recipe): variant for variant in reversed(variants)}
        self._variants = dict(reversed(self._variants.items()))
        self._require_same_ablation()

    @property
    def folder(self) -> Path:
        """Where the reports of this ablation stand."""
        return self.root / FOLDER / self.id

    def cells(self, *, retry: bool = True) -> list[Cell]:
        """Look at the runs and return the cells in the order of the design, seed by seed for each variant.

        Args:
            retry: Whether a failed run is trained again, or resumed where it has a checkpoint. Defaults to True.
        """
        found: dict[str, RunSummary] = {}
        for summary in self._summaries():
            key = _identity_of(summary)
            if key in self._variants and (key not in found or _rank(summary) < _rank(found[key])):
                found[key] = summary
        return [
            _cell(variant, found[key], retry) if key in found else Cell(variant, "train")
            for key, variant in self._variants.items()
        ]

    def make_runs(self, cells: Sequence[Cell]) -> list[Cell]:
        """Make a run, in state `queued`, for each cell that has none, and return the cells with their runs.

        Raises:
            RunError: It cannot be written.
        """
        return [cell if cell.run else replace(cell, run=self._make_run(cell.variant), state="queued") for cell in cells]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only one who trains this ablation, for a `with` block.

        Raises:
            RunError: Another process does, or nothing can be written here.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "alive.lock").open("ab")
        except OSError as error:
            raise RunError(cannot_write(self.root, error)) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(
                    f"Another `keras-tricks ablate` trains the ablation {self.id}. Ctrl-C there stops it; "
                    f"`keras-tricks report --ablation {self.id}` shows how far it is."
                ) from error
            yield

    def _summaries(self) -> list[RunSummary]:
        """The readable runs of the ablation, newest first."""
        return [
            summary
            for summary in summarize_all(self.root)
            if summary.facts.ablation is not None and summary.facts.ablation.get("id") == self.id
        ]

    def _require_same_ablation(self) -> None:
        """Refuse the id of an ablation of another design, or of other recipes; more variants may join its own."""
        runs = self._summaries()
        designs = {str(run.facts.ablation.get("design")) for run in runs if run.facts.ablation is not None}
        if designs - {self.design}:
            raise RecipeError(
                f"The ablation {self.id} under {self.root} has the design {', '.join(sorted(designs))}, not "
                f"{self.design}. Give another --id, or none."
            )
        bare = {identity(variant.recipe, with_seed=False) for variant in self._variants.values()}
        found = [_identity_of(run, with_seed=False) for run in runs]
        strange = [run for run, one in zip(runs, found, strict=True) if one is not None and one not in bare]
        if strange or (runs and not any(found)):
            names = dict.fromkeys(str((run.facts.ablation or {}).get("variant")) for run in strange or runs)
            raise RecipeError(
                f"{len(strange or runs)} of the {len(runs)} runs of the ablation {self.id} under {self.root} are of "
                f"recipes that this one has not ({', '.join(list(names)[:5])}): the report would mix them. Give "
                "another --id, or none."
            )

    def _make_run(self, variant: Variant) -> Run:
        recipe = variant.recipe.with_absolute_paths()
        ablation = {"id": self.id, "design": self.design, "variant": variant.name, "place": variant.place}
        argv = shlex.split(command(variant.recipe, self._base_name))
        directory = create_run(self.root, recipe.name, recipe.model_dump(mode="json"), argv=argv, ablation=ablation)
        return open_run(directory)


def _derived_id(variants: Sequence[Variant], design: Design) -> str:
    recipes = list(dict.fromkeys(identity(variant.recipe, with_seed=False) for variant in variants))
    return hashlib.sha256(json.dumps([design, recipes]).encode()).hexdigest()[:8]


def _identity_of(summary: RunSummary, *, with_seed: bool = True) -> str | None:
    """The identity of a run's recipe; None for one that this version cannot read."""
    tricks = [{"trick": name, **parameters} for name, parameters in summary.facts.tricks.items()]
    with contextlib.suppress(RecipeError):
        return identity(Recipe.from_document({**summary.facts.recipe, "tricks": tricks}), with_seed=with_seed)
    return None


def _rank(summary: RunSummary) -> int:
    """Which of several runs of a cell counts: a finished one, else one that is trained, else the furthest."""
    if summary.state == "finished":
        return 0
    return 1 if summary.is_live else 3 if summary.state == "queued" else 2


def _cell(variant: Variant, summary: RunSummary, retry: bool) -> Cell:
    run = open_run(summary.directory)
    if summary.state == "finished":
        action: Action = "keep"
    elif summary.is_live:
        action = "wait for"
    elif summary.state == "queued":
        action = "train"
    elif summary.state == "failed" and not retry:
        action = "leave"
    else:
        has_checkpoint = any((run.directory / schema.CHECKPOINTS).glob("epoch-*.weights.h5"))
        action = "resume" if has_checkpoint else "train again"
    return Cell(variant, action, run, summary.state)
