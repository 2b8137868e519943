"""CommandScreen: the whole command and the script of a recipe."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.messages import Notice


class CommandScreen(ModalScreen[None]):
    """The command and the script of a recipe, to read, to select with the mouse, or to copy.

    Args:
        command: The command.
        script: The script.
    """

    BINDINGS = [
        Binding("escape,v,q,enter", "leave", "Close", id="command.leave"),
        Binding("y", "copy_command", "Copy the command", id="command.copy_command"),
        Binding("Y", "copy_script", "Copy the script", key_display="Y", id="command.copy_script"),
    ]

    def __init__(self, command: str, script: str) -> None:
        super().__init__()
        self._command = command
        self._script = script

    def compose(self) -> ComposeResult:
        """Yield both, which scroll."""
        with VerticalScroll(id="command-box", classes="launch-box") as box:
            box.border_title = "Command and script"
            box.border_subtitle = "y copies the command, Y the script, Esc closes"
            yield Static("Command", classes="launch-heading")
            yield Static(self._command, id="whole-command", markup=False)
            yield Static("Script", classes="launch-heading")
            yield Static(self._script, id="whole-script", markup=False)

    def action_copy_command(self) -> None:
        """Copy the command to the clipboard."""
        self.app.copy_to_clipboard(self._command)
        self.post_message(Notice("Copied the command."))

    def action_copy_script(self) -> None:
        """Copy the script to the clipboard."""
        self.app.copy_to_clipboard(self._script)
        self.post_message(Notice("Copied the script."))

    def action_leave(self) -> None:
        """Close."""
        self.dismiss(None)
