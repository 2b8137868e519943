"""PredictionsScreen: what a run's model got right and wrong."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import ContentSwitcher, Footer, OptionList, Static

from keras_tricks.predictions import ClassScore, Predictions, WorstImage
from keras_tricks.runs import RunError, schema
from tui.formats import share, shortened
from tui.widgets.confusion_matrix import ConfusionMatrix
from tui.widgets.fitted_table import FittedTable
from tui.widgets.image_preview import ImagePreview

if TYPE_CHECKING:
    from tui.app import KerasTricksApp

_VIEWS = {"matrix": "Matrix", "classes": "Classes", "pairs": "Confused pairs", "worst": "Worst images"}
_MATRIX_CLASSES = 40
_MOST_PAIRS = 500
_BAR = 10


class PredictionsScreen(ModalScreen[None]):
    """Confusion matrix, classes, confused pairs and worst images of a run; a child process makes them where they lack.

    Args:
        directory: The run directory.
        name: The run's name.
    """

    app: KerasTricksApp

    KEYS_HELP = (
        ("m c p w", "confusion matrix; classes; confused pairs; worst images"),
        ("↑ ↓ ← →", "another cell of the matrix; Home, End the first and the last class"),
        ("o", "order the classes by recall, by precision, or as the data does"),
        ("e", "let keras-tricks evaluate predict the validation images, anew if need be"),
        ("Esc q", "back"),
    )

    BINDINGS = [
        Binding("m", "view('matrix')", "Matrix", id="predictions.matrix"),
        Binding("c", "view('classes')", "Classes", id="predictions.classes"),
        Binding("p", "view('pairs')", "Pairs", id="predictions.pairs"),
        Binding("w", "view('worst')", "Worst", id="predictions.worst"),
        Binding("o", "order", "Order", id="predictions.order"),
        Binding("e", "evaluate", "Evaluate", id="predictions.evaluate"),
        Binding("question_mark,f1", "app.help", "Help", id="predictions.help"),
        Binding("escape,q", "leave", "Back", id="predictions.leave"),
    ]

    class Read(Message):
        """The file was read."""

        def __init__(self, predictions: Predictions) -> None:
            super().__init__()
            self.predictions = predictions

    class NotRead(Message):
        """There is no file, or none that can be read."""

        def __init__(self, reason: str) -> None:
            super().__init__()
            self.reason = reason

    class Evaluated(Message):
        """The child process has ended; `error` is empty if it ended well."""

        def __init__(self, error: str) -> None:
            super().__init__()
            self.error = error

    def __init__(self, directory: Path, name: str) -> None:
        super().__init__()
        self._directory = directory
        self._run_name = f"{name} {directory.name[-4:]}"
        self._predictions: Predictions | None = None
        self._order = 0
        self._child: Popen[str] | None = None
        self._evaluating_since: float | None = None

    def compose(self) -> ComposeResult:
        """Yield a heading, the four views of which one is shown, and the keys."""
        yield Static(id="predictions-title")
        yield Static(id="predictions-note")
        with ContentSwitcher(id="predictions"):
            with Vertical(id="matrix"):
                yield ConfusionMatrix()
                yield Static(id="cell")
            yield FittedTable(id="classes", cursor_type="row")
            yield FittedTable(id="pairs", cursor_type="row")
            with Horizontal(id="worst"):
                yield OptionList(id="worst-list", compact=True)
                with Vertical(id="worst-image"):
                    yield ImagePreview()
                    yield Static(id="worst-about")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Read the file."""
        self._show_title()
        self.set_interval(1, self._show_progress)
        self._start_reading()

    def on_unmount(self) -> None:
        """End the child process."""
        if self._child is not None:
            with contextlib.suppress(OSError):
                self._child.kill()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what there is nothing to do with."""
        if action == "evaluate":
            return True if self._evaluating_since is None else None
        if action in ("view", "order"):
            return True if self._predictions is not None else None
        return True

    @on(Read)
    def _show(self, message: Read) -> None:
        predictions = self._predictions = message.predictions
        self._note("")
        self._show_title()
        self.query_one(ConfusionMatrix).show(predictions)
        self._show_classes()
        self._show_pairs()
        self._show_worst()
        if self.query_one("#predictions", ContentSwitcher).current is None:
            many = len(predictions.class_names) > _MATRIX_CLASSES
            self.action_view("pairs" if many else "matrix")
        self.refresh_bindings()

    @on(NotRead)
    def _say_why(self, message: NotRead) -> None:
        self._note(message.reason)

    @on(Evaluated)
    def _take_evaluation(self, message: Evaluated) -> None:
        self._evaluating_since = self._child = None
        self.refresh_bindings()
        if message.error:
            self._note(f"✗ The evaluation failed: {message.error}", "$text-error")
        else:
            self._start_reading()

    @on(ConfusionMatrix.Moved)
    def _show_cell(self) -> None:
        self.query_one("#cell", Static).update(Content(self.query_one(ConfusionMatrix).words()))

    @on(OptionList.OptionHighlighted)
    def _show_image(self, event: OptionList.OptionHighlighted) -> None:
        if self._predictions is not None:
            image = self._predictions.worst[event.option_index]
            self.query_one(ImagePreview).show(image.pixels)
            self.query_one("#worst-about", Static).update(self._about(image))

    def action_view(self, view: str) -> None:
        """Show the matrix, the classes, the pairs or the worst images."""
        self.query_one("#predictions", ContentSwitcher).current = view
        self.query_one({"matrix": "ConfusionMatrix", "worst": "#worst-list"}.get(view, f"#{view}")).focus()
        self._show_title()

    def action_order(self) -> None:
        """Order the classes by the next of recall, precision and name."""
        self._order += 1
        self._show_classes()
        self.action_view("classes")

    def action_evaluate(self) -> None:
        """Let a child process predict the validation images."""
        self._evaluating_since = time.monotonic()
        self.refresh_bindings()
        self._show_progress()
        self.run_worker(self._evaluate, thread=True, group="evaluate")

    def action_leave(self) -> None:
        """Go back to the runs."""
        self.dismiss()

    def _show_title(self) -> None:
        words = [f"Predictions of {self._run_name}"]
        if self._predictions is not None:
            read = self._predictions
            view = self.query_one("#predictions", ContentSwitcher).current
            words = [
                _VIEWS.get(view or "", "Predictions") + f" of {self._run_name}",
                f"{read.images} {read.unit}",
                f"accuracy {share(read.accuracy)}",
                f"{read.images - read.correct} wrong",
            ]
        self.query_one("#predictions-title", Static).update(Content(" · ".join(words)))

    def _show_progress(self) -> None:
        if self._evaluating_since is not None:
            seconds = time.monotonic() - self._evaluating_since
            self._note(f"◌ keras-tricks evaluate runs, for {seconds:.0f} s now.", "$text-primary")

    def _note(self, text: str, color: str = "$muted") -> None:
        note = self.query_one("#predictions-note", Static)
        note.update(Content.styled(text, color))
        note.display = bool(text)

    def _show_classes(self) -> None:
        assert self._predictions is not None
        orders = (
            ("recall", lambda score: _or_last(score.recall)),
            ("precision", lambda score: _or_last(score.precision)),
            ("class", lambda score: 0.0),
        )
        name, key = orders[self._order % len(orders)]
        titles = ("class", "recall", "", "precision", self._predictions.unit, "correct")
        self.query_one("#classes", FittedTable).fill(
            [Text(f"{title}▲" if title == name else title) for title in titles],
            [(None, _class_row(score)) for score in sorted(self._predictions.scores, key=key)],
        )

    def _show_pairs(self) -> None:
        assert self._predictions is not None
        rows = (
            (shortened(pair.true, 30), shortened(pair.predicted, 30), str(pair.count), share(pair.share))
            for pair in self._predictions.confusions[:_MOST_PAIRS]
        )
        self.query_one("#pairs", FittedTable).fill(
            _texts("class", "taken for", self._predictions.unit, "of the class"), [(None, _texts(*row)) for row in rows]
        )

    def _show_worst(self) -> None:
        assert self._predictions is not None
        names = self._predictions.class_names
        listed = self.query_one("#worst-list", OptionList)
        listed.clear_options()
        listed.add_options(
            Content(
                f"{_mark(image)} {image.loss:5.2f}  {shortened(names[image.true], 12)} → "
                f"{shortened(names[image.guesses[0][0]], 12)} {share(image.guesses[0][1])}"
            )
            for image in self._predictions.worst
        )
        if self._predictions.worst:
            listed.highlighted = 0

    def _about(self, image: WorstImage) -> Content:
        assert self._predictions is not None
        names = self._predictions.class_names
        lines = [
            Content.assemble(("is ", "$muted"), (names[image.true], "bold"), f"  loss {image.loss:.3f}"),
            Content.styled(image.path or f"validation image {image.place}", "$muted"),
        ]
        for guess, probability in image.guesses:
            bar = "█" * round(_BAR * probability) if probability == probability else "NaN"
            mark = "✓" if guess == image.true else " "
            color = "$text-success" if guess == image.true else "$foreground"
            name = shortened(names[guess], 16)
            lines.append(Content.styled(f"{mark} {share(probability):>6} {name:<16} {bar}", color))
        return Content("\n").join(lines)

    def _start_reading(self) -> None:
        self.run_worker(self._read, thread=True, group="read")

    def _read(self) -> None:
        path = self._directory / schema.PREDICTIONS_FILE
        try:
            self.post_message(self.Read(Predictions.load(path)))
        except FileNotFoundError:
            reason = f"There is no {path.name} yet. Press e: keras-tricks evaluate {self._directory.name} makes it."
            self.post_message(self.NotRead(reason))
        except (RunError, OSError) as error:
            self.post_message(self.NotRead(f"{error} Press e."))

    def _evaluate(self) -> None:
        command = [sys.executable, "-m", "keras_tricks", "evaluate", str(self._directory.resolve())]
        try:
            self._child = Popen(command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, text=True)
        except OSError as error:
            self.post_message(self.Evaluated(str(error)))
            return
        _, errors = self._child.communicate()
        lines = [line.strip() for line in errors.splitlines() if line.strip()]
        reason = lines[-1].removeprefix("keras-tricks: ") if lines else f"exit code {self._child.returncode}"
        self.post_message(self.Evaluated(reason if self._child.returncode else ""))


def _class_row(score: ClassScore) -> list[Text]:
    bar = "" if score.recall is None else "█" * round(_BAR * score.recall)
    return _texts(
        shortened(score.name, 30),
        share(score.recall),
        bar,
        share(score.precision),
        str(score.images),
        str(score.correct),
    )


def _texts(*words: str) -> list[Text]:
    return [Text(word) for word in words]


def _mark(image: WorstImage) -> str:
    return "✓" if image.guesses[0][0] == image.true else "✗"


def _or_last(value: float | None) -> float:
    return 2.0 if value is None else value
