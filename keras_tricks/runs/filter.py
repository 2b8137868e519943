"""The expression that filters runs: `val_accuracy>.9 trick:mixup state:finished`."""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import NamedTuple, get_args

from keras_tricks.runs.columns import Column, Value, Viewpoint, column, no_such_column
from keras_tricks.runs.schema import RunError, State
from keras_tricks.runs.summary import RunSummary

Predicate = Callable[[RunSummary, Viewpoint], bool]

SYNTAX = (
    ("val_accuracy>.9", "compare a metric, a field or a parameter: > >= < <= = !="),
    ("state:finished,failed", "any of these; `live` stands for starting, running and stopping"),
    ("trick:mixup", "with this trick"),
    ("trick:mixup.alpha>.2", "with this trick and such a parameter"),
    ("model:resnet*", "* stands for anything; also data: name: id: host: parent: ablation: marked:yes"),
    ("duration<30m age<2d", "s, m, h and d are units of time"),
    ("delta.val_accuracy>0", "against the baseline"),
    ("-trick:mixup", "not; also ! or the word `not`"),
    ("(a or b) c", "a space is `and`; a bare word is a part of the name or id; quotes keep spaces"),
)
"""Examples and what they mean."""

_COMPARISONS = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}
_OPERATOR = re.compile(r">=|<=|!=|[:><=]")
_NOT = re.compile(r"[-!]|not(?=[\s()]|$)\s*", re.IGNORECASE)
_SPANS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(\d*\.?\d+)([smhd])")
_STATES = (*get_args(State), "stopping", "broken", "killed", "live")
_MATCHED_IN_PART = frozenset({"name", "id", "host", "parent", "error", "ablation", "tricks"})
_DEEPEST = 30


class FilterError(RunError):
    """An expression cannot be understood.

    Args:
        place: The index of the character at which it fails.
        message: What is wrong there and what is possible.
    """

    def __init__(self, place: int, message: str):
        super().__init__(f"Filter, at character {place + 1}: {message}")
        self.place = place


class _Word(NamedTuple):
    """A word of an expression; quoted characters are blanked out in `shape`, `places` are those of all and the end."""

    text: str
    shape: str
    places: Sequence[int]

    @property
    def place(self) -> int:
        """Where it begins."""
        return self.places[0]

    def after(self, index: int) -> _Word:
        """What follows the first `index` characters."""
        return _Word(self.text[index:], self.shape[index:], self.places[index:])


def parse_filter(text: str, names: Collection[str] | None = None) -> Predicate:
    """Return the function that tells whether a run matches an expression; see `SYNTAX`.

    Args:
        text: The expression; an empty one matches every run.
        names: The names that it may use. Defaults to any.

    Raises:
        FilterError: It cannot be understood.
    """
    parser = _Parser(text, names)
    predicate = parser.alternatives(0)
    if parser.place < len(text):
        raise FilterError(parser.place, "There is no '(' for this ')'.")
    return predicate


class _Parser:
    """Recursive descent: alternatives of conjunctions of terms."""

    def __init__(self, text: str, names: Collection[str] | None):
        self.text = text
        self.place = 0
        self._names = names

    def alternatives(self, depth: int) -> Predicate:
        found = [self._conjunction(depth)]
        while self._skip_keyword("or"):
            found.append(self._conjunction(depth))
        return found[0] if len(found) == 1 else lambda run, view: any(one(run, view) for one in found)

    def _conjunction(self, depth: int) -> Predicate:
        found = []
        while True:
            self._skip_spaces()
            rest = self.text[self.place :]
            if not rest or rest.startswith(")") or self._at_keyword("or"):
                break
            if not self._skip_keyword("and"):
                found.append(self._term(depth))
        if not found and (depth or self.text.strip()):
            raise FilterError(self.place, "Expected a condition here, as val_accuracy>.9 or trick:mixup.")
        return lambda run, view: all(one(run, view) for one in found)

    def _term(self, depth: int) -> Predicate:
        negated = False
        start = self.place
        while sign := _NOT.match(self.text, self.place):
            negated = not negated
            self.place = sign.end()
        here = self.text[self.place : self.place + 1]
        if not here or here.isspace() or here == ")":
            raise FilterError(start, f"Expected a condition after {self.text[start : self.place]!r}, as -trick:mixup.")
        inner = self._group(depth) if here == "(" else _condition(self._word(), self._names)
        return (lambda run, view: not inner(run, view)) if negated else inner

    def _group(self, depth: int) -> Predicate:
        start = self.place
        if depth >= _DEEPEST:
            raise FilterError(start, f"Parentheses may be {_DEEPEST} deep.")
        self.place += 1
        inner = self.alternatives(depth + 1)
        if not self.text.startswith(")", self.place):
            raise FilterError(start, "There is no ')' for this '('.")
        self.place += 1
        return inner

    def _word(self) -> _Word:
        quote, opened = "", self.place
        text, shape, places = [], [], []
        while self.place < len(self.text):
            character = self.text[self.place]
            if quote:
                if character == quote:
                    quote = ""
                else:
                    text.append(character)
                    shape.append("_")
                    places.append(self.place)
            elif character in "\"'":
                quote, opened = character, self.place
            elif character in "()" or (character.isspace() and not self._goes_on(shape)):
                break
            elif not character.isspace():
                text.append(character)
                shape.append(character)
                places.append(self.place)
            self.place += 1
        if quote:
            raise FilterError(opened, f"There is no second {quote} for this one.")
        return _Word("".join(text), "".join(shape), [*places, self.place])

    def _goes_on(self, shape: Sequence[str]) -> bool:
        """Whether the spaces here stand before or after the operator of a condition, as in `val_accuracy > .9`."""
        rest = self.text[self.place :].lstrip()
        is_open = bool(shape) and shape[-1] in ":><="
        return _OPERATOR.match(rest) is not None or (is_open and rest[:1] not in "()")

    def _skip_spaces(self) -> None:
        while self.text[self.place : self.place + 1].isspace():
            self.place += 1

    def _at_keyword(self, keyword: str) -> bool:
        return re.match(rf"{keyword}(?=[\s()]|$)", self.text[self.place :], re.IGNORECASE) is not None

    def _skip_keyword(self, keyword: str) -> bool:
        self._skip_spaces()
        if not self._at_keyword(keyword):
            return False
        self.place += len(keyword)
        return True


def _condition(word: _Word, names: Collection[str] | None) -> Predicate:
    found = _OPERATOR.search(word.shape)
    if found is None:
        matches = _pattern(word.text, in_part=True)
        return lambda run, _: matches(run.name) or matches(run.id)
    key, sign = word.text[: found.start()], found.group()
    value = word.after(found.end())
    if not key:
        raise FilterError(word.place, f"Expected a name before {sign!r}, as val_accuracy{sign}.9.")
    if key == "trick":
        if sign not in (":", "="):
            raise FilterError(word.place, "Expected trick:NAME, or -trick:NAME for the runs without it.")
        return _condition(value, names) if _OPERATOR.search(value.shape) else _any_trick(_alternatives(value))
    if names is not None and key not in names:
        raise FilterError(word.place, no_such_column(key, ["trick", *names]))
    chosen = column(key)
    if sign in _COMPARISONS:
        return _compared(chosen, sign, _number(chosen, sign, value))
    if key == "state":
        _check_states(value)
    equal = _equal(chosen, _alternatives(value))
    if sign == "!=":
        return lambda run, view: chosen.value(run, view) is not None and not equal(run, view)
    return equal


def _any_trick(patterns: Sequence[str]) -> Predicate:
    matchers = [_pattern(pattern) for pattern in patterns]

    def matches(run: RunSummary, _: Viewpoint) -> bool:
        return any(matcher(name) for name in run.facts.tricks for matcher in matchers)

    return matches


def _compared(chosen: Column, sign: str, number: float) -> Predicate:
    compare = _COMPARISONS[sign]

    def matches(run: RunSummary, view: Viewpoint) -> bool:
        value = chosen.value(run, view)
        return isinstance(value, int | float) and bool(compare(value, number))

    return matches


def _equal(chosen: Column, alternatives: Sequence[str]) -> Predicate:
    matchers = [_pattern(text, chosen.key in _MATCHED_IN_PART) for text in alternatives]
    numbers = [number for number in (_parse_number(chosen, text) for text in alternatives) if number is not None]
    live = chosen.key == "state" and "live" in alternatives

    def matches(run: RunSummary, view: Viewpoint) -> bool:
        value = chosen.value(run, view)
        if value is None:
            return False
        if isinstance(value, int | float) and value in numbers:
            return True
        words = _words(chosen, value)
        return (live and run.is_live) or any(matcher(words) for matcher in matchers)

    return matches


def _words(chosen: Column, value: Value) -> str:
    if chosen.kind == "moment" and isinstance(value, int | float):
        return datetime.fromtimestamp(value).isoformat()
    return str(value)


def _pattern(text: str, in_part: bool = False) -> Callable[[str], bool]:
    """Return whether words match a pattern, upper and lower case alike."""
    text = text.casefold()
    if "*" in text or "?" in text:
        compiled = re.compile(fnmatch.translate(text.replace("[", "[[]")))
        return lambda words: compiled.match(words.casefold()) is not None
    return lambda words: text in words.casefold() if in_part else text == words.casefold()


def _alternatives(value: _Word) -> list[str]:
    ends = [*(index for index, character in enumerate(value.shape) if character == ","), len(value.shape)]
    starts = [0, *(end + 1 for end in ends[:-1])]
    found = [value.text[start:end] for start, end in zip(starts, ends, strict=True) if end > start]
    if not found:
        raise FilterError(value.place, "Expected a value here, or several with commas between them.")
    return found


def _check_states(value: _Word) -> None:
    for state in _alternatives(value):
        if not {"*", "?"} & set(state) and state.casefold() not in _STATES:
            raise FilterError(value.place, f"There is no state {state!r}. There are: {', '.join(_STATES)}.")


def _number(chosen: Column, sign: str, value: _Word) -> float:
    if chosen.kind == "word":
        raise FilterError(value.place, f"{chosen.key} is a word, which {sign} cannot compare. Use {chosen.key}:WORD.")
    number = _parse_number(chosen, value.text)
    if number is None:
        expected = {"duration": "a time as 90s, 30m, 2h or 1d", "moment": "a day as 2027-01-31"}
        raise FilterError(
            value.place, f"Expected {expected.get(chosen.kind, 'a number')} after {sign!r}. Received: {value.text!r}."
        )
    return number


def _parse_number(chosen: Column, text: str) -> float | None:
    try:
        if chosen.kind == "moment":
            return datetime.fromisoformat(text).timestamp()
        span = _SPAN.fullmatch(text)
        if span is not None and chosen.kind == "duration":
            return float(span[1]) * _SPANS[span[2]]
        return float(text)
    except (ValueError, OverflowError, OSError):
        return None
