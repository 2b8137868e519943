"""Charts of the live screen: which there are, their part of x, their cursor, and what is drawn of long curves."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.app import App
from textual.events import MouseScrollDown, MouseScrollUp
from textual.widgets import OptionList, Static

from keras_tricks.runs import MetricRow, RunWriter
from keras_tricks.user_config import Preferences
from tui.curves import Curves
from tui.widgets.axis import TimeAxis, x_text
from tui.widgets.chart import Chart
from tui.widgets.chart_grid import ChartGrid
from tui.widgets.charted_metrics import arrangement, chart_id, lines_of, usual_metrics
from tui.widgets.curve import nearest, polyline, smoothed
from tui.widgets.plot import Plot, line_dots
from tui.widgets.run_header import RunHeader
from tui.widgets.sparkline import sparkline

ONE = "20270101T000000Z-quickstart-aaaa"
USUAL = ["chart-loss", "chart-accuracy", "chart-learning-rate", "chart-images-per-second"]


@pytest.fixture
def app(make_app, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_TRICKS_CONFIG", str(tmp_path / "config"))
    return make_app("live")


def chart(app, metric="loss"):
    return app.screen.query_one(f"#chart-{metric}", Chart)


def title(app, metric="loss"):
    return str(chart(app, metric).query_one(".chart-title", Static).content)


def subject(app):
    return str(app.screen.query_one(".subject", Static).content)


def limits(app, metric="loss"):
    plot = chart(app, metric).query_one(Plot)
    return plot._x_min, plot._x_max


async def shown(pilot, until):
    await until(pilot, lambda: pilot.app.screen.query(RunHeader) and "◆" in title(pilot.app))


async def test_keys_zoom_and_pan_all_charts_and_new_points_do_not_move_them(app, store, until):
    directory = store.add(ONE, epochs=8, done=4, end="stopped")
    async with app.run_test(size=(120, 36)) as pilot:
        await shown(pilot, until)
        first, last = limits(app)
        assert limits(app, "accuracy") == (first, last) and last > 4
        chart(app).focus()
        await pilot.press("up", "up")
        await pilot.pause()
        low, high = limits(app, "accuracy")
        assert high - low == pytest.approx((last - first) / 1.5**2)
        assert low - first == pytest.approx(last - high)
        assert "zoomed" in title(app, "learning-rate") and subject(app) == "zoomed · quickstart"

        with RunWriter(directory) as writer:
            writer.begin(epochs=8, steps=176, epoch=4, step=88)
            writer.metrics("epoch", epoch=5, step=110, values={"loss": 0.1, "val_loss": 0.1})
            await until(pilot, lambda: chart(app)._curves["val_loss"][1][-1] == 0.1)
            writer.end("stopped")
        assert limits(app) == (low, high)

        await pilot.press("right", "right", "right", "right", "right", "right")
        await pilot.pause()
        assert limits(app)[1] >= 5 and limits(app)[1] - limits(app)[0] == pytest.approx(high - low)
        await pilot.press("left")
        await pilot.pause()
        assert limits(app)[1] < 5
        await pilot.press("down", "down", "down")
        await pilot.pause()
        assert "zoomed" not in title(app) and limits(app)[1] > 5
        await pilot.press("up", "0")
        await pilot.pause()
        assert subject(app) == "quickstart"


async def test_a_chart_that_fills_the_screen_does_not_go_beyond_its_last_point(app, store, until):
    store.add(ONE, epochs=4, done=4, end="finished")
    async with app.run_test(size=(80, 24)) as pilot:
        await shown(pilot, until)
        chart(app).focus()
        await pilot.press("z", "up", "up", *["right"] * 9)
        await pilot.pause()
        low, high = limits(app)
        assert low > 1 and high == pytest.approx(4, abs=0.1)


async def test_the_wheel_zooms_at_the_pointer_and_the_mouse_drags_and_reads(app, store, until):
    store.add(ONE, epochs=4, done=4, end="finished")
    async with app.run_test(size=(120, 36)) as pilot:
        await shown(pilot, until)
        canvas = chart(app).query_one("#plot")
        first, last = limits(app)
        at = (10, 3)
        pointed = chart(app).query_one(Plot).get_coordinate_from_pixel(*at)[0]
        await pilot._post_mouse_events([MouseScrollUp], canvas, at, button=0)
        await pilot.pause()
        low, high = limits(app, "accuracy")
        assert high - low == pytest.approx((last - first) / 1.5)
        assert (pointed - low) / (high - low) == pytest.approx((pointed - first) / (last - first))

        await pilot._post_mouse_events([MouseScrollDown], canvas, at, button=0, shift=True)
        await pilot.pause()
        assert limits(app)[0] > low and limits(app)[1] - limits(app)[0] == pytest.approx(high - low)
        await pilot.mouse_down(canvas, offset=(10, 3))
        await pilot.hover(canvas, offset=(14, 3))
        await pilot.mouse_up(canvas, offset=(14, 3))
        await pilot.pause()
        assert limits(app)[0] < limits(app)[1] < high + (high - low) * 0.1

        await pilot.hover(canvas, offset=(20, 3))
        await pilot.pause()
        cursor = chart(app).cursor
        assert cursor is not None and chart(app, "accuracy").cursor == cursor
        assert f"@{cursor:.2f}" in title(app, "learning-rate")
        await pilot.hover("#records")
        await until(pilot, lambda: chart(app).cursor is None)


async def test_the_cursor_reads_the_values_at_its_place(app, store, until):
    store.add(ONE, epochs=4, done=4, end="finished", losses=((22, 7.5),))
    async with app.run_test(size=(80, 24)) as pilot:
        await shown(pilot, until)
        before = title(app)
        await pilot.press("comma")
        await pilot.pause()
        assert "@4.00" in title(app)
        canvas = chart(app, "accuracy").query_one("#plot")
        assert any("│" in row for row in canvas._buffer)
        grid = app.screen.query_one(ChartGrid)
        grid._point_at(1.01)
        assert "@1.01" in title(app) and "7.50" in title(app)
        await pilot.press("full_stop")
        await pilot.pause()
        assert chart(app).cursor > 1.01
        await pilot.press("escape")
        await pilot.pause()
        assert title(app) == before


async def test_x_counts_epochs_time_or_steps_and_this_is_remembered(app, store, until):
    store.add(ONE, epochs=4, done=4, end="finished")
    async with app.run_test(size=(80, 24)) as pilot:
        await shown(pilot, until)
        await pilot.press("x")
        await pilot.pause()
        assert limits(app)[1] == pytest.approx(44 * 0.05, rel=0.1) and "x time" in subject(app)
        assert Preferences.load().x_axis == "time"
        await pilot.press("x")
        await pilot.pause()
        assert 88 <= limits(app)[1] < 95 and "x step" in subject(app)
        assert str(chart(app).query_one(".chart-x-label", Static).content) == "step"
        await pilot.press("x")
        await pilot.pause()
        assert 4 <= limits(app)[1] < 4.5


async def test_charts_are_chosen_among_what_is_logged_and_remembered(app, store, until):
    directory = store.add(ONE, epochs=4, done=2, end="stopped")
    with RunWriter(directory) as writer:
        writer.begin(epochs=4, steps=88, epoch=2, step=44)
        values = {"loss": 1.0, "gradient_norm": 3.25, "loss_scale": 1024.0, "clipped_share": 0.125, "odd name[/]": 1.0}
        writer.metrics("step", epoch=2, step=46, values=values)
        writer.update(last=values)
        writer.end("stopped")
    async with app.run_test(size=(120, 36)) as pilot:
        await shown(pilot, until)
        header = str(app.screen.query_one(RunHeader).render())
        for words in ("loss scale 1024", "gradient norm 3.25", "clipped 12.5% of units"):
            assert words in header
        grid = app.screen.query_one(ChartGrid)
        assert [each.id for each in grid.charts] == USUAL
        await pilot.press("c")
        await until(pilot, lambda: app.screen.query(OptionList))
        listed = app.screen.query_one(OptionList)
        assert "gradient_norm" in [option.id for option in listed.options]
        assert not any(option.id.startswith("val_") for option in listed.options)
        grid.on_chart_controls_zoomed(Chart.Zoomed(None, 2.0))
        await pilot.press("space")
        for name in ("gradient_norm", "odd name[/]"):
            listed.highlighted = listed.get_option_index(name)
            await pilot.press("space")
        await pilot.press("enter")
        await until(pilot, lambda: len(grid.charts) == 5)
        assert [each.title for each in grid.charts[-2:]] == ["gradient norm", "odd name[/]"]
        assert title(app, "gradient-norm") == "gradient norm ⠒⠒ 3.25  zoomed"
        assert Preferences.load().charts[0] == "accuracy" and Preferences.load().charts[-1] == "odd name[/]"
        assert {each.region.x for each in grid.charts} == {0, 40, 80}
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert len({each.region.x for each in grid.charts}) == 2

        await pilot.press("c")
        await until(pilot, lambda: app.screen.query(OptionList))
        await pilot.press("x")
        await until(pilot, lambda: [each.id for each in grid.charts] == USUAL)
        assert Preferences.load().charts is None


async def test_log_y_of_one_chart_with_the_focus(app, store, until):
    store.add(ONE, epochs=4, done=4, end="finished")
    async with app.run_test(size=(120, 36)) as pilot:
        await shown(pilot, until)
        chart(app, "accuracy").focus()
        plot = chart(app, "accuracy").query_one(Plot)
        ticks = plot._x_formatter.most
        await pilot.press("y", "z")
        await until(pilot, lambda: plot._x_formatter.most > ticks)
        assert title(app, "accuracy").startswith("accuracy log") and not title(app).startswith("loss log")
        await pilot.press("escape")
        await until(pilot, lambda: plot._x_formatter.most == ticks)
        assert app.screen.maximized is None


def test_arrangement_fills_the_room_and_keeps_charts_readable():
    assert arrangement(1, 80, 10) == (1, None)
    assert arrangement(4, 80, 10) == (2, 10)
    assert arrangement(4, 120, 22) == (2, None)
    assert arrangement(5, 120, 22) == (3, None)
    for count in range(1, 30):
        for width, height in ((80, 9), (80, 20), (120, 22), (240, 45)):
            columns, chart_height = arrangement(count, width, height)
            assert columns == 1 or width // columns >= 32
            assert (chart_height or height // math.ceil(count / columns)) >= 7


def test_metrics_go_with_their_validation_and_stand_in_for_the_usual_ones():
    assert [line.label for line in lines_of("loss", {"loss", "val_loss"})] == ["train", "val"]
    assert [line.metric for line in lines_of("learning_rate", {"learning_rate"})] == ["learning_rate"]
    assert usual_metrics(["loss", "mae", "val_mae"]) == ("loss", "mae", "learning_rate", "images_per_second")
    ids = {chart_id(name) for name in ("a b", "a/b", "a-b", "a_b", "log", "", "é")}
    assert len(ids) == 7 and all(each.isascii() and each.startswith("chart-") for each in ids)


def row(kind, step, t, attempt=1, **values):
    return MetricRow(kind, t, attempt, step // 10, step, values)


def test_curves_that_were_shown_do_not_change():
    curves = Curves()
    curves.add(row("attempt", 0, 100.0))
    for step in (10, 20, 30):
        curves.add(row("step", step, 100.0 + step, loss=float(step)))
    before = curves.show()["loss"]
    assert curves.show()["loss"] is before
    curves.add(row("epoch", 30, 131.0, loss=-1.0))
    curves.add(row("attempt", 20, 500.0, attempt=2))
    curves.add(row("step", 25, 505.0, attempt=2, loss=-2.0, val_loss=math.nan))
    assert before.value.tolist() == [10, 20, 30] and before.step.tolist() == [10, 20, 30]
    after = curves.show()
    assert after["loss"].step.tolist() == [10, 20, 25] and after["loss"].value.tolist() == [10, 20, -2]
    assert after["loss"].seconds.tolist() == [10, 20, 25], "time stands still between attempts"


ROWS = st.lists(
    st.tuples(st.sampled_from(["step", "epoch", "attempt", "eval"]), st.integers(0, 40), st.floats(0, 1e6)),
    max_size=60,
)


@given(ROWS, st.integers(0, 59))
def test_curves_are_increasing_in_step_and_never_decreasing_in_time(rows, look_after):
    curves = Curves()
    for index, (kind, step, t) in enumerate(rows):
        curves.add(row(kind, step, t, **({} if kind == "attempt" else {"loss": t})))
        if index == look_after:
            seen = curves.show().get("loss")
            copies = None if seen is None else [part.copy() for part in seen]
    curve = curves.show().get("loss")
    if curve is not None and len(curve.step):
        assert (np.diff(curve.step) > 0).all() and (np.diff(curve.seconds) >= 0).all()
        assert len(curve.step) == len(curve.value)
    if len(rows) > look_after and copies is not None:
        for part, copy in zip(seen, copies, strict=True):
            np.testing.assert_array_equal(part, copy)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=300), st.data())
@settings(deadline=None)
def test_smoothing_by_blocks_is_the_recurrence(values, data):
    factor = data.draw(st.sampled_from([0.01, 0.3, 0.6, 0.95, 0.999]))
    average, weight, expected = 0.0, 0.0, []
    for value in values:
        if not math.isfinite(value):
            expected.append(value)
            continue
        average, weight = factor * average + (1 - factor) * value, factor * weight + (1 - factor)
        expected.append(average / weight)
    largest = max([abs(value) for value in values if math.isfinite(value)], default=0.0)
    np.testing.assert_allclose(smoothed(values, factor), expected, rtol=1e-9, atol=1e-11 * largest)


@given(
    st.lists(st.one_of(st.floats(-100, 100), st.just(math.nan)), min_size=1, max_size=120),
    st.floats(0, 119),
    st.floats(0.1, 119),
    st.integers(1, 30),
)
def test_a_line_stays_within_its_limits_and_crosses_them_where_the_curve_does(values, low, width, columns):
    x, y = np.arange(len(values), dtype=float), np.array(values)
    line = polyline(x, y, columns, (low, low + width))
    assert len(line.x) <= 2 * columns + 2 and np.isfinite(line.y).all()
    assert ((low <= line.x) & (line.x <= low + width)).all() and (np.diff(line.x) >= 0).all()
    inside = (x >= low) & (x <= low + width) & np.isfinite(y)
    if inside.any():
        assert line.y.min() <= y[inside].min() and line.y.max() >= y[inside].max()
    for place, value in zip(line.x, line.y, strict=True):
        before, after = math.floor(place), min(math.ceil(place), len(values) - 1)
        assert value == pytest.approx(y[before] + (place - before) * (y[after] - y[before]), abs=1e-6)
    assert not any(
        np.isnan(y[math.ceil(line.x[end - 1]) : math.floor(line.x[end]) + 1]).any()
        for end in np.flatnonzero(line.joined)
    )


def test_a_line_of_dots_has_no_holes():
    joined = np.array([False, True, False])
    dots = line_dots(np.array([0.0, 9.5, 5.0]), np.array([0.0, 3.9, 0.0]), joined, 10, 4)
    assert dots.any(axis=0).all() and dots[0, 5] and dots[3, 9]
    steps = np.argwhere(dots[:, :5])
    assert len(steps) == 5 and (np.diff(steps[:, 1]) >= 0).all()
    assert not line_dots(np.empty(0), np.empty(0), np.empty(0, bool), 4, 4).any()


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 130, ["0", "30s", "1m", "1m30s", "2m"]),
        (0, 5400, ["0", "30m", "1h", "1h30m"]),
        (0, 2.2, ["0.0s", "0.5s", "1.0s", "1.5s", "2.0s"]),
        (0, 400000, ["0", "1d", "2d", "3d", "4d"]),
    ],
)
def test_time_ticks_are_round_times(low, high, labels):
    axis = TimeAxis(5)
    assert axis.get_labels_for_ticks(axis.get_ticks(low, high)) == labels
    assert x_text(3661, "time") == "1h 01m" and x_text(1.234, "epoch") == "1.23" and x_text(12.0, "step") == "12"


def test_nearest_and_sparkline():
    x = np.array([1.0, 2.0, 4.0])
    assert [nearest(x, place) for place in (-5, 1.4, 1.6, 3.1, 9)] == [0, 0, 1, 2, 2]
    assert sparkline([0, 50, 100, None, math.nan], 6, 100) == " ▁▅█  "
    assert sparkline([1], 0, 100) == ""


async def test_a_plot_without_room_draws_nothing():
    plot = Plot()
    app = type("PlotApp", (App,), {"compose": lambda self: iter([plot])})()
    async with app.run_test(size=(11, 6)) as pilot:
        plot.scatter(np.arange(4.0), np.arange(4.0), marker="◆")
        await pilot.pause()
        assert min(plot._scale_rectangle.size) < 1
        await pilot.resize_terminal(40, 12)
        await pilot.pause()
        assert any("◆" in line.text for line in map(plot.query_one("#plot").render_line, range(8)))
