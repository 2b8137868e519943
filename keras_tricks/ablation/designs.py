"""Designs of ablations: which variants of a recipe to train, with which seeds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from keras_tricks.recipe import Recipe, RecipeError
from keras_tricks.trick import BAG_OF_TRICKS, NFNETS, Trick
from keras_tricks.tricks import TRICKS

Design = Literal["leave-one-out", "one-at-a-time", "stack"]
DESIGNS: tuple[Design, ...] = get_args(Design)

BASELINE = "baseline"
ALL_TRICKS = "all tricks"
_PAPERS = (BAG_OF_TRICKS, NFNETS)
_LONGEST_NAME = 80


@dataclass(frozen=True)
class Variant:
    """One run of an ablation.

    Args:
        name: What sets it apart: `without mixup`, `only mixup`, `+ mixup`, `baseline` or `all tricks`.
        place: Its place in the design, from 0; runs of several seeds share it.
        seed: The seed.
        recipe: What to train.
    """

    name: str
    place: int
    seed: int
    recipe: Recipe

    @property
    def errors(self) -> list[str]:
        """What keeps its recipe from being trained."""
        return [problem.message for problem in self.recipe.problems() if problem.level == "error"]


def variants(recipe: Recipe, design: Design, seeds: Sequence[int] = (0,)) -> list[Variant]:
    """Return the runs of an ablation, seed by seed for each variant in turn.

    `leave-one-out` begins with the recipe itself, and then turns off one of its tricks after the other.
    `one-at-a-time` begins with the recipe without tricks, and then turns on one of them at a time. `stack` begins
    there too, and adds one after the other in the paper's order, up to the recipe itself.

    A trick that needs another one is never on without it: it leaves together with that one, and is alone with it. In a
    stack it comes after it.

    Args:
        recipe: What to ablate.
        design: The design.
        seeds: The seeds that each variant is trained with. Defaults to seed 0 alone.

    Raises:
        RecipeError: There is no trick or no seed, the same seed twice, a seed that a recipe cannot have, or no such
            design.
    """
    if design not in DESIGNS:
        raise RecipeError(f"Expected a design, one of {', '.join(DESIGNS)}. Received: design={design!r}")
    if not recipe.tricks:
        raise RecipeError(f"{recipe.name} has no tricks, so there is nothing to leave out. Turn some on.")
    if not seeds or len(set(seeds)) < len(seeds):
        raise RecipeError(f"Expected seeds, none twice. Received: {', '.join(map(str, seeds)) or 'none'}")
    tricks = in_paper_order(recipe.tricks)
    runs = []
    for place, (name, chosen) in enumerate(_DESIGNS[design](tricks)):
        kept = tuple(trick for trick in recipe.tricks if trick in chosen)
        for seed in seeds:
            end = f"-{_slug(name)}" + (f"-s{seed}" if len(seeds) > 1 else "")
            title = recipe.name[: max(1, _LONGEST_NAME - len(end))] + end
            try:
                changed = recipe.changed(name=title[:_LONGEST_NAME], seed=seed, tricks=kept)
            except ValueError as error:
                raise RecipeError(f"Expected a seed from 0 to {2**31 - 1}. Received: {seed}") from error
            runs.append(Variant(name, place, seed, changed))
    return runs


def in_paper_order(tricks: Iterable[Trick]) -> list[Trick]:
    """Return tricks in the order in which the papers add them: by section, those of Bag of Tricks first, then NFNets'.

    Within a section, and for other papers, it is the catalogue's order. A trick comes after those that it needs.
    """
    waiting = sorted(tricks, key=_published_place)
    names = {trick.name for trick in waiting}
    ordered: list[Trick] = []
    while waiting:
        there = {trick.name for trick in ordered}
        ready = (trick for trick in waiting if not (trick.needs & names) - there)
        trick = next(ready, waiting[0])
        waiting.remove(trick)
        ordered.append(trick)
    return ordered


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read seeds as `0,1,2`, `0-4`, or both.

    Raises:
        RecipeError: It is none of that, or names a seed twice.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not 0 <= last - first < 1000:
            raise RecipeError(f"Expected seeds as 0,1,2 or 0-4, at most 1000 of them. Received: {text!r}")
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds):
        raise RecipeError(f"Expected each seed once. Received: {text!r}")
    return tuple(seeds)


def _leave_one_out(tricks: list[Trick]) -> list[tuple[str, list[Trick]]]:
    found = [(ALL_TRICKS, tricks)]
    for trick in tricks:
        gone = _with_dependents(trick, tricks)
        found.append((f"without {_words(gone)}", [other for other in tricks if other not in gone]))
    return found


def _one_at_a_time(tricks: list[Trick]) -> list[tuple[str, list[Trick]]]:
    found: list[tuple[str, list[Trick]]] = [(BASELINE, [])]
    for trick in tricks:
        needed = _needed(trick, tricks)
        with_words = f" with {_words(needed)}" if needed else ""
        found.append((f"only {trick.name}{with_words}", [trick, *needed]))
    return found


def _stack(tricks: list[Trick]) -> list[tuple[str, list[Trick]]]:
    added = [(f"+ {trick.name}", tricks[: count + 1]) for count, trick in enumerate(tricks)]
    return [(BASELINE, []), *added]


_DESIGNS = {"leave-one-out": _leave_one_out, "one-at-a-time": _one_at_a_time, "stack": _stack}


def _published_place(trick: Trick) -> tuple[int, list[tuple[int, str]], int]:
    """The paper, the section (appendices last), and the place in the catalogue."""
    paper = _PAPERS.index(trick.source.paper) if trick.source.paper in _PAPERS else len(_PAPERS)
    section = trick.source.section if paper < len(_PAPERS) else ""
    parts = [(int(part), "") if part.isdigit() else (10**6, part) for part in section.split(".") if part]
    return paper, parts, list(TRICKS).index(trick.name)


def _with_dependents(trick: Trick, tricks: list[Trick]) -> list[Trick]:
    """The trick, and those that cannot be on without it."""
    gone = [trick]
    for other in gone:
        gone += [more for more in tricks if other.name in more.needs and more not in gone]
    return gone


def _needed(trick: Trick, tricks: list[Trick]) -> list[Trick]:
    """The other tricks without which it cannot be on."""
    found = [trick]
    for one in found:
        found += [other for other in tricks if other.name in one.needs and other not in found]
    return found[1:]


def _words(tricks: list[Trick]) -> str:
    return " and ".join(trick.name for trick in tricks)


def _slug(name: str) -> str:
    return name.replace("+ ", "plus ").replace(" ", "-")
