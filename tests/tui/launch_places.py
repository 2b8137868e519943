"""Where things are on the launch screen, for its tests."""

from tui.widgets.checks_panel import ChecksPanel
from tui.widgets.setup_panel import FieldRow


def place(app, where):
    """The widget for a field, a trick or a parameter."""
    return next(widget for widget in app.screen.query("*") if getattr(widget, "where", None) == where)


def editor(app, where):
    return next(row.editor for row in app.screen.query(FieldRow) if row.where == where)


def text_of(widget):
    return str(widget.content)


def checks(app):
    panel = app.screen.query_one(ChecksPanel)
    return [str(panel.get_option_at_index(index).prompt) for index in range(panel.option_count)]


async def started(pilot):
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
