"""LaunchActions: launch a recipe, queue it, queue its variants, and copy or show its command."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from textual.binding import Binding

from keras_tricks.queue import DEFAULT_LANE, RunQueue
from keras_tricks.recipe import Problem, Recipe
from keras_tricks.runs import Run, RunError, create_run, remove, start
from tui.draft import Draft
from tui.lanes import lane_choices
from tui.messages import LanesRead, Notice, RunLaunched
from tui.screens.mode_screen import ModeScreen

if TYPE_CHECKING:
    from tui.app import KerasTricksApp
    from tui.screens.variants import ChosenVariants


class Order(NamedTuple):
    """What to train, as it was when the user asked for it."""

    recipe: Recipe
    argv: list[str]
    start: Recipe
    parent: str | None

    @classmethod
    def of(cls, draft: Draft) -> Order:
        """Return the order that a draft makes."""
        return cls(draft.recipe, draft.argv, draft.start, draft.parent)


class LaunchActions(ModeScreen):
    """A screen with a draft that the keys launch and queue, and whose command they copy.

    What is written is written in thread workers; a notice says how it went.
    """

    app: KerasTricksApp

    BINDINGS = [
        Binding("l,f5", "launch", "Launch", id="launch.launch"),
        Binding("a", "queue(False)", "Queue", id="launch.queue"),
        Binding("A", "queue(True)", "Queue and start", key_display="A", show=False, id="launch.queue_and_start"),
        Binding("V", "variants", "Variants", key_display="V", id="launch.variants"),
        Binding("y", "copy_command", "Copy", id="launch.copy_command"),
        Binding("Y", "copy_script", "Copy script", key_display="Y", show=False, id="launch.copy_script"),
        Binding("v", "view_command", "View", id="launch.view_command"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._busy = False

    @property
    def draft(self) -> Draft:
        """The recipe that is being edited."""
        raise NotImplementedError

    def jump(self, where: str) -> None:
        """Go to the place that a problem is about."""
        raise NotImplementedError

    def seconds_per_epoch(self, recipe: Recipe) -> float | None:
        """How long an epoch took in earlier runs of the same model, data and batch."""
        raise NotImplementedError

    def action_launch(self) -> None:
        """Start the recipe, unless there is an error in it."""
        if self._ready("Not launched."):
            order = Order.of(self.draft)
            self._work(lambda: self._launch(order))

    def action_queue(self, starts: bool) -> None:
        """Add the recipe to the queue, after a question for the lane where there are several.

        Args:
            starts: Whether to start the lane's runner too.
        """
        if self._ready("Not queued."):
            self._work(lambda: self._read_lanes("start" if starts else "add"))

    def action_variants(self) -> None:
        """Choose variants of the recipe, and add them to the queue."""
        if self._ready("No variants."):
            self._work(lambda: self._read_lanes("variants"))

    def on_lanes_read(self, message: LanesRead) -> None:
        """Ask for the lane where there are several, then add the recipe; or let the user choose variants."""
        if not self.is_current:
            return
        if message.purpose == "variants":
            from tui.screens.variants import VariantsScreen

            lanes = [lane.name for lane in message.lanes]
            recipe = self.draft.recipe
            screen = VariantsScreen(recipe, lanes, self.seconds_per_epoch(recipe))
            self.app.push_screen(screen, self._queue_variants)
            return
        starts = message.purpose == "start"
        if len(message.lanes) == 1:
            self._queue(message.lanes[0].name, starts)
        else:
            from tui.screens.lane_screen import LaneScreen

            self.app.push_screen(LaneScreen(message.lanes), lambda lane: self._queue(lane, starts))

    def action_copy_command(self) -> None:
        """Copy the equivalent command to the clipboard."""
        self._copy(self.draft.command(), "the command")

    def action_copy_script(self) -> None:
        """Copy a script that trains the recipe to the clipboard."""
        self._copy(self.draft.recipe.to_script(), "the script")

    def action_view_command(self) -> None:
        """Show the whole command, and the script."""
        from tui.screens.command_screen import CommandScreen

        self.app.push_screen(CommandScreen(self.draft.command(), self.draft.recipe.to_script()))

    def _copy(self, text: str, what: str) -> None:
        self.app.copy_to_clipboard(text)
        left_out = ", ".join(f"{where} ({typed or 'empty'} is wrong)" for where, typed in self.draft.left_out.items())
        if left_out:
            self.post_message(Notice(f"Copied {what} without {left_out}.", "warning"))
        else:
            self.post_message(Notice(f"Copied {what}."))

    def _ready(self, refusal: str) -> bool:
        """Whether the recipe can be trained and nothing is being started; if there is an error, go to it."""
        errors: list[Problem] = [problem for problem in self.draft.problems() if problem.level == "error"]
        if errors:
            self.post_message(Notice(f"{refusal} {errors[0].message}", "error"))
            self.jump(errors[0].where)
        return not errors and not self._busy

    def _work(self, what: Callable[[], None]) -> None:
        def work() -> None:
            try:
                what()
            finally:
                self._busy = False

        self._busy = True
        self.run_worker(work, thread=True, group="launch")

    def _launch(self, order: Order) -> None:
        recipe = order.recipe.with_absolute_paths()
        try:
            document = recipe.model_dump(mode="json")
            directory = create_run(self.app.runs_root, recipe.name, document, argv=order.argv, parent=order.parent)
            run = Run(directory)
            try:
                self.app.trainers.add(start(run))
            except (RunError, OSError):
                remove(run)
                raise
        except (RunError, OSError) as error:
            self.post_message(Notice(f"Not launched. {error}", "error"))
        else:
            self.post_message(RunLaunched(run.directory))
            self.post_message(Notice(f"Launched {recipe.name}. It goes on when you quit."))

    def _read_lanes(self, purpose: str) -> None:
        try:
            self.post_message(LanesRead(lane_choices(self.app.runs_root), purpose))
        except RunError as error:
            self.post_message(Notice(f"Not queued. {error}", "error"))

    def _queue(self, lane: str | None, starts: bool) -> None:
        if lane is not None:
            order = Order.of(self.draft)
            self._work(lambda: self._add(order, lane, starts))

    def _add(self, order: Order, lane: str, starts: bool) -> None:
        queue = RunQueue(self.app.runs_root)
        try:
            queue.add(order.recipe, argv=order.argv, parent=order.parent, lane=lane)
        except RunError as error:
            self.post_message(Notice(str(error), "error"))
        else:
            self._begin(queue, lane, f"Added {order.recipe.name} to the queue", starts)

    def _queue_variants(self, chosen: ChosenVariants | None) -> None:
        if chosen is not None:
            order = Order.of(self.draft)
            self._work(lambda: self._add_variants(order, chosen))

    def _add_variants(self, order: Order, chosen: ChosenVariants) -> None:
        from keras_tricks.ablation.queueing import queue_variants

        queue = RunQueue(self.app.runs_root)
        try:
            queue_variants(queue, chosen.runs, chosen.design, order.start, lane=chosen.lane, parent=order.parent)
        except RunError as error:
            self.post_message(Notice(f"No variants. {error}", "error"))
        else:
            count = len(chosen.runs)
            self._begin(queue, chosen.lane, f"Added {count} runs of {order.recipe.name} to the queue", chosen.starts)

    def _begin(self, queue: RunQueue, lane: str, done: str, starts: bool) -> None:
        """Start the lane's runner if asked to, and say what was done."""
        where = "" if lane == DEFAULT_LANE else f", lane {lane}"
        if not starts:
            self.post_message(Notice(f"{done}{where}. 5 shows it."))
            return
        try:
            runner = queue.ensure_runner(lane)
        except RunError as error:
            self.post_message(Notice(f"{done}{where}, but {error}", "error"))
            return
        if runner is not None:
            self.app.trainers.add(runner)
        self.post_message(Notice(f"{done}{where}; its runner trains it. 5 shows it."))
