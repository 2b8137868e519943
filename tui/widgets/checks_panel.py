"""ChecksPanel: what is wrong with a recipe; enter goes to the place."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from keras_tricks.recipe import Problem

_LOOKS = {"error": ("✗", "$text-error"), "warning": ("!", "$text-warning")}


class ChecksPanel(OptionList):
    """What is wrong with a recipe."""

    class Jump(Message):
        """The user asks for the place that a problem is about."""

        def __init__(self, where: str) -> None:
            super().__init__()
            self.where = where

    def __init__(self) -> None:
        super().__init__(id="checks", markup=False, compact=True)
        self.border_title = "Checks"
        self._problems: tuple[Problem, ...] | None = None

    def show(self, problems: Sequence[Problem]) -> None:
        """List these problems."""
        if tuple(problems) == self._problems:
            return
        self._problems = tuple(problems)
        self.clear_options()
        errors = sum(problem.level == "error" for problem in problems)
        warnings = len(problems) - errors
        counts = [
            f"{count} {word}{'s' * (count > 1)}" for count, word in ((errors, "error"), (warnings, "warning")) if count
        ]
        self.border_title = "Checks" + (f" · {', '.join(counts)}" if counts else "")
        self.border_subtitle = "Enter goes there" if problems else ""
        if problems:
            self.add_options([Option(_prompt(problem)) for problem in problems])
        else:
            self.add_option(
                Option(Content.assemble(("✓", "bold $success"), " Ready: l launches it, a queues it."), disabled=True)
            )

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Ask for the place."""
        event.stop()
        if self._problems:
            self.post_message(self.Jump(self._problems[event.option_index].where))


def _prompt(problem: Problem) -> Content:
    sign, color = _LOOKS[problem.level]
    return Content.assemble((sign, f"bold {color}"), " ", problem.message)
