"""Order: which runs wait in which lane, as a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

from keras_tricks.runs.schema import RunError

SCHEMA_VERSION = 1
KEPT_ENDED = 50

Direction = Literal["up", "down", "first", "last"]
Place = int | Direction
"""A place among the waiting runs of a lane, counted from 1, or where to from its own place."""


def place_of(text: str) -> Place:
    """Return the place that a text means.

    Raises:
        RunError: It is neither a number nor a direction.
    """
    if text.isdecimal():
        return int(text)
    for direction in get_args(Direction):
        if text == direction:
            return direction
    raise RunError(f"Expected a place counted from 1, or up, down, first or last. Received: {text!r}")


class Item(BaseModel):
    """A run in a lane: when it was added, and when the lane's runner took it, if it did."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    run: str
    added: float
    begun: float | None = None


class Ended(BaseModel):
    """A run that its lane is done with, and why it was not trained, if so."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    run: str
    lane: str
    added: float
    ended: float
    reason: str | None = None


class Order(BaseModel):
    """The runs of each lane in order, the one that is taken first; and those that ended last, the newest last.

    Its methods return the changed order.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_version: int = SCHEMA_VERSION
    lanes: dict[str, tuple[Item, ...]] = {}
    ended: tuple[Ended, ...] = ()

    def items(self, lane: str) -> tuple[Item, ...]:
        """The runs of a lane."""
        return self.lanes.get(lane, ())

    def waiting(self, lane: str) -> tuple[Item, ...]:
        """The runs of a lane that are not taken yet."""
        return tuple(item for item in self.items(lane) if item.begun is None)

    def find(self, run: str) -> tuple[str, Item]:
        """Return the lane and the item of a run.

        Raises:
            RunError: It is in no lane.
        """
        for lane, items in self.lanes.items():
            for item in items:
                if item.run == run:
                    return lane, item
        raise RunError(f"{run} is not in the queue. `keras-tricks queue ls` lists what is.")

    def with_added(self, run: str, lane: str, time: float) -> Order:
        """Put a run at the end of a lane."""
        return self._with_lane(lane, (*self.items(lane), Item(run=run, added=time)))

    def with_moved(self, run: str, place: Place, lane: str | None = None) -> Order:
        """Move a waiting run to another place, in its own lane or another.

        Raises:
            RunError: The run is not waiting, or there is no such place.
        """
        old_lane, item = self.find(run)
        if item.begun is not None:
            raise RunError(f"{run} has been taken by the runner of its lane: only runs that wait can be moved.")
        lane = lane or old_lane
        old_waiting = self.waiting(old_lane)
        rest = [other for other in self.waiting(lane) if other.run != run]
        if lane != old_lane and place in ("up", "down"):
            raise RunError(f"Expected a place in the lane {lane}: a number, first or last. Received: {place!r}")
        index = _index(place, old_waiting.index(item), len(rest), lane)
        rest.insert(index, item)
        changed = self.without(run)
        taken = [other for other in changed.items(lane) if other.begun is not None]
        return changed._with_lane(lane, (*taken, *rest))

    def without(self, run: str) -> Order:
        """Leave a run out.

        Raises:
            RunError: It is in no lane.
        """
        lane, item = self.find(run)
        return self._with_lane(lane, tuple(other for other in self.items(lane) if other is not item))

    def with_begun(self, run: str, time: float) -> Order:
        """Note that the runner of its lane took a run; it moves to the front."""
        lane, item = self.find(run)
        taken = item.model_copy(update={"begun": time})
        return self._with_lane(lane, (taken, *(other for other in self.items(lane) if other is not item)))

    def with_ended(self, run: str, time: float, reason: str | None = None) -> Order:
        """Note that a lane is done with a run; one that somebody took out meanwhile stays out."""
        try:
            lane, item = self.find(run)
        except RunError:
            return self
        entry = Ended(run=run, lane=lane, added=item.added, ended=time, reason=reason)
        ended = (*(other for other in self.ended if other.run != run), entry)[-KEPT_ENDED:]
        return self.without(run).model_copy(update={"ended": ended})

    def _with_lane(self, lane: str, items: Sequence[Item]) -> Order:
        lanes = {**self.lanes, lane: tuple(items)}
        return self.model_copy(update={"lanes": {name: found for name, found in lanes.items() if found}})


def _index(place: Place, now: int, others: int, lane: str) -> int:
    """The index that `place` means between the `others` waiting runs of a lane, `now` being that before."""
    if isinstance(place, int):
        if not 1 <= place <= others + 1:
            raise RunError(f"Expected a place from 1 to {others + 1} in the lane {lane}. Received: {place}")
        return place - 1
    return {"first": 0, "last": others, "up": max(0, now - 1), "down": min(others, now + 1)}[place]
