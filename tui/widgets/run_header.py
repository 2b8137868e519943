"""RunHeader: the lines above the charts, with a run's state and its progress."""

from __future__ import annotations

import textwrap

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from keras_tricks.runs.schema import is_share
from tui.formats import duration, number, share, shortened
from tui.run_watcher import RunView
from tui.states import STATE_LOOKS

_LEAST_BAR = 8
_MOST_BAR = 40
_GAP = "  "
_VALUES = (("learning_rate", "lr"), ("loss_scale", "loss scale"), ("gradient_norm", "gradient norm"))


class RunHeader(Widget):
    """State and progress of a run, in lines of any width: what fits is shown, the most important first.

    In three lines the last one has the newest values and the load of the trainer; in two, these follow the progress.
    """

    def __init__(self) -> None:
        super().__init__(id="run-header")
        self._view: RunView | None = None
        self._now = 0.0
        self._trouble = ""
        self._shown = Content("")

    def show(self, view: RunView, now: float) -> None:
        """Show a run as it is `now`, in seconds since 1970."""
        self._view, self._now, self._trouble = view, now, ""
        self._refresh_if_changed()

    def show_trouble(self, reason: str) -> None:
        """Say that the run cannot be read; what was seen of it before stays."""
        self._trouble = reason.replace("\n", " ")
        self._refresh_if_changed()

    def clear(self) -> None:
        """Forget the run."""
        self._view, self._trouble = None, ""
        self._refresh_if_changed()

    def render(self) -> Content:
        """Return the lines."""
        self._shown = self._text()
        return self._shown

    def _refresh_if_changed(self) -> None:
        if self._text() != self._shown:
            self.refresh()

    def _text(self) -> Content:
        width = self.content_size.width
        if self._trouble:
            first = Content.styled(shortened(f"✗ {self._trouble}", width), "bold $text-error")
        elif self._view is None:
            first = Content.styled("reading …", "$muted")
        else:
            first = _state_line(self._view, self._now, width)
        if self._view is None:
            return first
        values, load = _value_parts(self._view), _load_parts(self._view)
        if self.content_size.height < 3:
            return Content("\n").join([first, _progress_line(self._view, self._now, width, [*values, *load])])
        parts = [*values, *load] or [Content("")]
        third = _fitting(parts[0], parts[1:], width)
        return Content("\n").join([first, _progress_line(self._view, self._now, width, []), third])


def _state_words(view: RunView) -> Content:
    look = STATE_LOOKS[view.state]
    return Content.assemble((f"{look.symbol} {look.word.upper()}", f"bold ${look.color}"), _GAP, (view.name, "bold"))


def _error_lines(view: RunView, width: int) -> tuple[str, str]:
    """What stands of the error beside the state, and below, where a run that has not begun has no progress."""
    error = " ".join((view.status.error or "").split())
    room = max(20, width - _state_words(view).cell_length - len(_GAP))
    if view.status.epochs or cell_len(error) <= room:
        return shortened(error, room), ""
    first, *others = textwrap.wrap(error, room)
    return first, shortened(" ".join(others), width)


def _state_line(view: RunView, now: float, width: int) -> Content:
    status = view.status
    line = _state_words(view)
    parts: list[Content] = []
    if status.error and not view.is_live:
        parts.append(Content.styled(_error_lines(view, width)[0], "$text-error"))
    if view.is_live:
        if status.pid is not None:
            parts.append(_pair("pid", str(status.pid)))
        if status.state == "running":
            parts.append(_heartbeat(now - status.heartbeat))
        if view.is_elsewhere:
            parts.append(_pair("on", status.host))
    hints = ["its process is gone"] * (view.state == "lost")
    hints += ["r resumes it"] * (view.has_recipe and view.state in ("killed", "lost"))
    if hints:
        parts.append(Content.styled("; ".join(hints), "$text-error"))
    if status.best is not None:
        value = share(status.best.value) if is_share(status.best.metric) else number(status.best.value)
        parts.append(_pair(f"best {status.best.metric}", f"{value} @{status.best.epoch}"))
    parts.append(Content.styled(view.about, "$muted"))
    if status.attempt > 1:
        parts.append(_pair("attempt", str(status.attempt)))
    return _fitting(line, parts, width)


def _progress_line(view: RunView, now: float, width: int, more: list[Content]) -> Content:
    """The progress, and whatever else fits."""
    status = view.status
    if not status.epochs and status.step:
        return _fitting(_pair("epoch", str(status.epoch)), [_pair("step", str(status.step)), *more], width)
    if not status.epochs:
        if not view.is_live:
            more_of_error = _error_lines(view, width)[1]
            return Content.styled(
                more_of_error or "it has not begun to train", "$text-error" if more_of_error else "$muted"
            )
        waiting = _pair("loading Keras and the data, for", duration(now - (status.pid_created or status.heartbeat)))
        return _fitting(waiting, more, width)
    done = min(1.0, status.step / status.steps if status.steps else status.epoch / status.epochs)
    parts = []
    if status.steps:
        steps_per_epoch = max(1, round(status.steps / status.epochs))
        step = status.step - min(status.epoch, status.epochs - 1) * steps_per_epoch
        parts.append(_pair("step", f"{max(0, step)}/{steps_per_epoch}"))
    if status.state == "running" and status.images_per_second is not None:
        parts.append(Content(f"{status.images_per_second:.0f} img/s"))
    if status.state == "running" and status.eta_s is not None:
        parts.append(_pair("ETA", duration(status.eta_s)))
    if not view.is_live and status.started is not None:
        parts.append(_pair("took", duration((status.ended or status.heartbeat) - status.started)))
    if view.is_live and status.started is not None:
        more = [*more, _pair("for", duration(now - status.started))]
    head = Content.assemble(("epoch ", "$muted"), f"{status.epoch}/{status.epochs}", " ")
    percent = f" {done:4.0%}"
    tail = _fitting(Content(percent), [*parts, *more], width - head.cell_length - _LEAST_BAR)
    bar_width = min(_MOST_BAR, max(_LEAST_BAR, width - head.cell_length - tail.cell_length))
    return Content("").join([head, _bar(done, bar_width, STATE_LOOKS[view.state].color), tail])


def _value_parts(view: RunView) -> list[Content]:
    """The newest of the values that tell how the training goes, where they are logged."""
    last = view.status.last
    parts = [_pair(words, number(last[name], 3)) for name, words in _VALUES if name in last]
    if "clipped_share" in last:
        parts.append(_pair("clipped", f"{last['clipped_share']:.1%} of units"))
    return parts


def _load_parts(view: RunView) -> list[Content]:
    if view.trainer is None:
        return []
    parts = [_pair("mem", f"{view.trainer.memory_bytes / 2**30:.1f}G")]
    if view.trainer.cpu_percent is not None:
        parts.insert(0, _pair("cpu", f"{view.trainer.cpu_percent:.0f}%"))
    return parts


def _fitting(line: Content, parts: list[Content], width: int) -> Content:
    """Append the parts as long as they fit."""
    for part in parts:
        longer = Content(_GAP).join([line, part])
        if part and longer.cell_length <= width:
            line = longer
    return line


def _bar(done: float, width: int, color: str) -> Content:
    halves = round(done * width * 2)
    full, half = divmod(halves, 2)
    middle = "╸" if half else ""
    rest = "─" * (width - full - cell_len(middle))
    return Content.assemble(("━" * full + middle, f"${color}"), (rest, "$faint"))


def _heartbeat(age: float) -> Content:
    late = age > 10
    return Content.assemble(
        ("heartbeat ", "$muted"), (duration(age), "bold $text-warning" if late else ""), " !" if late else ""
    )


def _pair(name: str, value: str) -> Content:
    return Content.assemble((f"{name} ", "$muted"), value)
