"""Compare: values, differences of recipes, curves and effects of the marked runs, and their export."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.widgets import Static
from textual.widgets.data_table import RowKey

from keras_tricks.ablation import PairedDifference
from keras_tricks.runs import schema
from tui.app import KerasTricksApp
from tui.messages import RunsCompared
from tui.run_comparer import Comparison
from tui.run_lister import RunLister
from tui.screens.compare import CompareScreen
from tui.screens.live import LiveScreen
from tui.widgets.ablation_bars import bar_line, limits, verdict
from tui.widgets.comparison_tables import DifferenceTable, ValueTable
from tui.widgets.overlay import Overlay

PLAIN = [f"2027010{seed + 1}T000000Z-plain-aaa{seed}" for seed in range(3)]
MIXED = [f"2027020{seed + 1}T000000Z-mixed-bbb{seed}" for seed in range(3)]


@pytest.fixture
def app(make_app):
    return make_app("compare")


@pytest.fixture
def six_runs(store):
    """Two variants with three seeds each."""
    for seed in range(3):
        for run_id, tricks in ((PLAIN[seed], []), (MIXED[seed], [{"trick": "mixup", "alpha": 0.3}])):
            directory = store.add(run_id, epochs=2, done=2, end="finished")
            path = directory / schema.RECIPE_FILE
            document = json.loads(path.read_text())
            document["name"] = run_id.split("-")[1]
            document["recipe"] |= {"seed": seed, "tricks": tricks}
            path.write_text(json.dumps(document))
            last = {"val_accuracy": 0.9 + seed / 100 + 0.02 * bool(tricks) * (1 + seed / 10), "val_loss": 0.5}
            store.rewrite_status(directory, last=last)
    return store


def mark(app, store, run_ids, baseline=None):
    app.selection.mark(store.root / run_id for run_id in run_ids)
    app.selection.baseline = baseline and store.root / baseline


def cells(app, kind):
    table = app.screen.query_one(kind)
    return [[str(cell) for cell in table.get_row_at(row)] for row in range(table.row_count)]


async def compared(pilot, until, count):
    await until(pilot, lambda: pilot.app.screen.query("#letters"))
    await until(pilot, lambda: pilot.app.screen.query_one(ValueTable).row_count == count)


def words(app, selector):
    return str(app.screen.query_one(selector, Static).content)


async def test_without_marks_it_says_how_to_mark(app, six_runs, until):
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.screen.has_class("-no-runs"))
        assert "Space" in words(app, "#no-marked-runs")
        assert app.screen.check_action("export", ()) is None
        await pilot.press("x", "m", "v", "d")
        mark(app, six_runs, PLAIN[:1])
        await compared(pilot, until, 1)
        assert not app.screen.has_class("-no-runs")
        await pilot.press("d")
        assert "Mark another run" in cells(app, DifferenceTable)[0][0]


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_the_views(app, six_runs, until, size):
    mark(app, six_runs, [*PLAIN, *MIXED], baseline=PLAIN[1])
    async with app.run_test(size=size) as pilot:
        await compared(pilot, until, 6)
        rows = cells(app, ValueTable)
        assert [row[0] for row in rows] == [
            *("A  plain", "B★ plain", "C  plain"),
            *("D  mixed", "E  mixed", "F  mixed"),
        ]
        assert [row[3] for row in rows[:4]] == [".9000", ".9100", ".9200", ".9200"]
        assert [row[4] for row in rows[:4]] == ["-.0100", "-", "+.0100", "+.0100"]
        assert rows[0][5:7] == [".9976", "2"]
        assert not app.screen.query_one("#letters").display

        await pilot.press("down", "down", "b")
        await until(pilot, lambda: cells(app, ValueTable)[2][0] == "C★ plain")
        assert app.screen.query_one(ValueTable).cursor_row == 2, "The cursor stays."

        await pilot.press("d")
        await pilot.press("enter")
        assert isinstance(app.screen, CompareScreen), "A field is no run."
        assert cells(app, DifferenceTable) == [
            ["seed", "0", "1", "2", "0", "1", "2"],
            ["mixup", "off", "off", "off", "on", "on", "on"],
        ]

        await pilot.press("c", "m")
        chart = app.screen.query_one(Overlay)
        assert chart.display and chart.title == "val_loss"
        assert [line.metric for line in chart.lines] == list("ABCDEF")
        assert [line.color for line in chart.lines] == ["primary"] * 3 + ["accent"] * 3, "A colour a variant."
        assert words(app, "#letters").startswith("A plain aaa0 ✓")
        await pilot.press("y")
        assert chart.log_y
        await pilot.press("up")
        assert chart.x_limits is None, "Two epochs cannot be enlarged."
        await pilot.hover(chart, offset=(30, 5))
        assert chart.cursor is not None

        await pilot.press("t")
        headings = [str(column.label) for column in app.screen.query_one(ValueTable).ordered_columns]
        assert headings[3:8] == ["Val loss", "Δ", "best", "at", "Val acc"], "The chosen metric stands first."
        await pilot.press("n", "a")
        text = str(app.screen.query_one("#bars", Static).content)
        assert "plain  .9100 ± .0100  n=3" in text
        assert "+mixup" in text and "▲ +.0220 [+.0170, +.0270] n=3" in text
        assert "├" in text and "●" in text and "┤" in text
        assert "m val_accuracy" in words(app, "#views")
        assert words(app, ".subject") == "6 runs"
        await pilot.press("v")
        assert app.screen.query_one("#compared").current == "values"
        await pilot.click("#views", offset=(12, 0))
        assert app.screen.query_one("#compared").current == "differences"


async def test_curves_are_enlarged_and_moved(app, store, until):
    mark(app, store, [store.add(PLAIN[0], epochs=12, done=12, end="finished").name])
    async with app.run_test(size=(80, 24)) as pilot:
        await compared(pilot, until, 1)
        await pilot.press("c", "up", "up")
        chart = app.screen.query_one(Overlay)
        low, high = chart.x_limits
        assert high - low == pytest.approx(11 / 1.5**2)
        await pilot.press("left", "left", "left", "left")
        assert chart.x_limits[0] == 1.0
        await pilot.press("m")
        assert chart.x_limits[0] == 1.0, "Another metric shows the same epochs."
        await pilot.press("down", "down", "down")
        assert chart.x_limits is None


async def test_letters_tell_the_curves_apart_without_colours(make_app, six_runs, until, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app("compare")
    mark(app, six_runs, PLAIN)
    async with app.run_test(size=(80, 24)) as pilot:
        await compared(pilot, until, 3)
        await pilot.press("c")
        assert [line.marker for line in app.screen.query_one(Overlay).lines] == ["A", "B", "C"]


async def test_colours_tell_the_runs_of_one_variant_apart_or_several_variants(app, six_runs, until):
    mark(app, six_runs, PLAIN)
    async with app.run_test(size=(80, 24)) as pilot:
        await compared(pilot, until, 3)
        await pilot.press("c")
        assert len({line.color for line in app.screen.query_one(Overlay).lines}) == 3
        mark(app, six_runs, MIXED)
        await until(pilot, lambda: len(app.screen.query_one(Overlay).lines) == 6)
        colors = [line.color for line in app.screen.query_one(Overlay).lines]
        assert len({*colors[:3]}) == len({*colors[3:]}) == 1 and colors[0] != colors[3]


async def test_a_name_and_its_letter_stay_together(app, store, until):
    mark(app, store, [store.add(f"2027010{day}T000000Z-quickstart-aaa{day}", done=1).name for day in range(1, 9)])
    async with app.run_test(size=(80, 24)) as pilot:
        await compared(pilot, until, 8)
        await pilot.press("c")
        rows = words(app, "#letters").splitlines()
        assert [row.split()[0] for row in rows] == ["A★", "D", "G"]
        assert all(len(row) <= 78 for row in rows)
        await pilot.resize_terminal(40, 24)
        await until(pilot, lambda: "… and 6 lines more" in words(app, "#letters"))


async def test_no_scale_is_drawn_without_a_difference(app, six_runs, until):
    mark(app, six_runs, [PLAIN[0], MIXED[1]])
    async with app.run_test(size=(80, 24)) as pilot:
        await compared(pilot, until, 2)
        await pilot.press("a")
        text = str(app.screen.query_one("#bars", Static).content)
        assert "+mixup no difference: see below" in text
        assert "-1.0000" not in text


async def test_a_run_directory_of_its_own_is_compared(store, until):
    directory = store.add(PLAIN[0], done=2)
    app = type("AppInCompare", (KerasTricksApp,), {"DEFAULT_MODE": "compare"})(directory, store.clock)
    app.selection.mark([directory])
    async with app.run_test(size=(80, 24)) as pilot:
        await compared(pilot, until, 1)
        await pilot.press("t", "b")
        assert app.selection.baseline == directory
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LiveScreen))
        assert app.watched == directory


async def test_marks_go_runs_open_and_what_cannot_be_read_is_named(app, six_runs, until):
    mark(app, six_runs, [PLAIN[0], MIXED[0]])
    app.selection.marked.append(six_runs.root / "gone")
    async with app.run_test(size=(80, 24)) as pilot:
        await compared(pilot, until, 2)
        assert words(app, "#letters") == "✗ gone: it is not there any more."
        six_runs.rewrite_status(six_runs.root / MIXED[0], last={"val_accuracy": 0.5})
        await until(pilot, lambda: cells(app, ValueTable)[1][3] == ".5000")
        with (six_runs.root / PLAIN[0] / schema.METRICS_FILE).open("a") as file:
            file.write("{torn\n")
        bad = f"✗ {PLAIN[0]}: unreadable lines in its metrics: 1."
        await until(pilot, lambda: words(app, "#letters") == f"{bad}\n✗ gone: it is not there any more.")
        await pilot.press("c")
        await until(pilot, lambda: words(app, "#letters").startswith(f"✗ (2 such) {bad[2:]}\nA★ plain aaa0"))
        await pilot.press("t")
        app.screen.on_runs_compared(RunsCompared(Comparison()))
        app.screen._row_chosen(ValueTable.RowSelected(app.screen.query_one(ValueTable), 0, RowKey(PLAIN[0])))
        assert isinstance(app.screen, CompareScreen), "The row of a run that has gone opens nothing."
        await until(pilot, lambda: app.screen.query_one(ValueTable).row_count == 2)
        await pilot.press("t", "u")
        await until(pilot, lambda: app.screen.query_one(ValueTable).row_count == 1)
        assert app.selection.marked == [six_runs.root / MIXED[0], six_runs.root / "gone"]
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LiveScreen))
        assert app.watched == six_runs.root / MIXED[0]


async def test_the_export(app, six_runs, until):
    mark(app, six_runs, [*PLAIN, *MIXED])
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await compared(pilot, until, 6)
        await pilot.press("x")
        await until(pilot, lambda: app._notifications)
        [folder] = (six_runs.root / "comparisons").iterdir()
        assert str(folder) in next(iter(app._notifications)).message
    names = {"values.csv", "differences.csv", "effects.csv", "comparison.md", "comparison.png"}
    assert {path.name for path in folder.iterdir()} == names
    report = (folder / "comparison.md").read_text()
    assert "| mixup | off | off | off | on | on | on |" in report
    assert "| +mixup | 3 |" in report
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert len(RunLister(six_runs.root).look()) == 6, "A comparison is no run."


async def test_a_folder_that_cannot_be_written_is_named(app, six_runs, until):
    mark(app, six_runs, PLAIN)
    (six_runs.root / "comparisons").write_text("in the way")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await compared(pilot, until, 3)
        await pilot.press("x")
        await until(pilot, lambda: app._notifications)
        assert "values.csv cannot be written" in next(iter(app._notifications)).message
        assert isinstance(app.screen, CompareScreen)


@pytest.mark.parametrize(
    ("mean", "low", "high", "line"),
    [
        (0.5, 0.25, 0.75, "        │▒├─●─┤  "),
        (-0.5, -0.75, -0.25, "  ├─●─┤▒│        "),
        (0.0, -0.5, 0.5, "    ├───●───┤    "),
        (0.25, -0.5, 1.0, "    ├───┼─●─────┤"),
        (1.0, None, None, "        │▒▒▒▒▒▒▒●"),
    ],
)
def test_a_bar_with_its_interval(mean, low, high, line):
    assert bar_line(PairedDifference(mean, low, high, (0, 1)), -1.0, 1.0, 17) == line


ends = st.floats(-1e6, 1e6)


@given(st.tuples(ends, ends, ends).map(sorted), st.integers(2, 200))
def test_a_bar_fits_its_width(three, width):
    low, mean, high = three
    found = PairedDifference(mean, low, high, (0, 1))
    line = bar_line(found, *limits([found]), width)
    assert len(line) == width
    assert line.count("●") == 1


def test_a_smaller_loss_is_better():
    better = PairedDifference(-0.1, -0.2, -0.05, (0, 1))
    assert (verdict(better, "val_loss"), verdict(better, "val_accuracy")) == (1, -1)
    assert verdict(PairedDifference(-0.1, -0.2, 0.05, (0, 1)), "val_loss") == 0
    assert verdict(PairedDifference(-0.1, None, None, (0,)), "val_loss") == 0
