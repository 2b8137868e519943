"""The reader of metrics: torn lines, replaced files, values that are no numbers, other versions, several attempts."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_tricks.runs import JsonLines, MetricRow, MetricsHistory, RunError, schema

NAMES = st.sampled_from(["loss", "val_loss", "NaN", "back\\slash"])
VALUES = st.dictionaries(NAMES, st.floats(allow_nan=True, allow_infinity=True), max_size=3)
UNKNOWN = st.dictionaries(st.sampled_from(["from_the_future", "note"]), st.sampled_from(["NaN", 1, None, [{}]]))


@st.composite
def a_row(draw, step=None):
    """A row as a trainer of some version writes it."""
    row = {
        "kind": draw(st.sampled_from(["step", "epoch", "future_kind"])),
        "t": draw(st.one_of(st.floats(0, 2e9), st.integers(0, 2_000_000_000))),
        "attempt": 1,
        "epoch": draw(st.integers(0, 99)),
        "step": draw(st.integers(0, 9999)) if step is None else step,
        "values": draw(VALUES),
    }
    return {**draw(UNKNOWN), **row}


BROKEN = (
    b"{",
    b"null",
    b"[1]",
    b'"text"',
    b"\xff\xfe",
    b'{"kind": "step"}',
    b'{"kind": "step", "t": "late", "attempt": 1, "epoch": 0, "step": 1, "values": {}}',
    b'{"kind": "step", "t": 0, "attempt": 1, "epoch": 0, "step": 1.5, "values": {}}',
    b'{"kind": "step", "t": 0, "attempt": 1, "epoch": 0, "step": true, "values": {}}',
    b'{"kind": "step", "t": 0, "attempt": 1, "epoch": 0, "step": 1, "values": [1]}',
    b'{"kind": "step", "t": 0, "attempt": 1, "epoch": 0, "step": 1, "values": {"loss": "high"}}',
    b'{"kind": "step", "t": 0, "attempt": 1, "epoch": 0, "step": 1, "values": {"loss": {"a": 1}}}',
    b'{"kind": "step", "t": 0, "attempt": 1, "epoch": 0, "step": 1, "values": {"loss": 1' + b"0" * 400 + b"}}",
    b'{"schema_version": 99, "kind": "step", "t": 0, "attempt": 1, "epoch": 0, "step": 1, "values": {}}',
    b"[" * 100_000,
)


def line(row):
    return schema.encode(row).encode() + b"\n"


def write(path, data):
    """Replace the content of a file and keep the file."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.write(data)
        file.truncate()


def seen(rows):
    """Rows as something that can be compared although NaN is unequal to itself."""
    return [repr(tuple(row)) for row in rows]


def expected(rows):
    return seen([MetricRow(*(row[key] for key in MetricRow._fields))._replace(t=float(row["t"])) for row in rows])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


@given(
    lines=st.lists(st.one_of(a_row(), st.sampled_from(BROKEN)), max_size=10),
    cuts=st.lists(st.floats(0, 1), max_size=8),
)
@settings(max_examples=150, deadline=None)
def test_torn_at_any_byte_and_in_any_pieces_it_reads_as_at_once(tmp_path_factory, lines, cuts):
    path = tmp_path_factory.mktemp("torn") / "metrics.jsonl"
    data = b"".join(each + b"\n" if isinstance(each, bytes) else line(each) for each in lines)
    pieces = MetricsHistory(path)
    given_out = []
    for cut in [*sorted(int(share * len(data)) for share in cuts), len(data)]:
        write(path, data[:cut])
        given_out += pieces.update()
        assert not pieces.restarted
    at_once = MetricsHistory(path)
    at_once.update()
    rows = [each for each in lines if not isinstance(each, bytes)]
    assert seen(pieces.rows) == seen(at_once.rows) == seen(given_out) == expected(rows)
    assert pieces.broken_lines == at_once.broken_lines == len(lines) - len(rows)
    assert pieces.update() == []


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: text[:30].decode(errors="replace"))
def test_a_line_that_cannot_be_a_row_is_counted_and_the_next_one_is_read(path, text):
    row = {"kind": "step", "t": 1.0, "attempt": 1, "epoch": 0, "step": 7, "values": {"loss": 2.0}}
    write(path, text + b"\n\n" + line(row))
    history = MetricsHistory(path)
    assert [row.step for row in history.update()] == [7] and history.broken_lines == 1


def test_whole_numbers_become_floats_and_not_finite_words_numbers(path):
    values = {"a": 3, "b": "NaN", "c": "-Infinity", "d": "Infinity"}
    record = {"kind": "step", "t": 5, "attempt": 1.0, "epoch": 0, "step": 7.0, "values": values, "note": "NaN"}
    write(path, json.dumps(record).encode() + b"\n")
    [row] = MetricsHistory(path).update()
    assert repr(row) == (
        "MetricRow(kind='step', t=5.0, attempt=1, epoch=0, step=7, values={'a': 3.0, 'b': nan, 'c': -inf, 'd': inf})"
    )
    assert type(row.step) is int and math.isnan(row.values["b"])
    [record] = JsonLines(path)
    assert record["note"] == "NaN", "only metrics are numbers"
    write(path, rb'{"kind": "step", "t": 0, "attempt": 1, "epoch": 0, "step": 1, "values": {"a": "\u004eaN"}}' + b"\n")
    [row] = MetricsHistory(path).update()
    assert math.isnan(row.values["a"])


def test_a_row_of_a_newer_schema_says_so():
    row = {"schema_version": 2, "kind": "step", "t": 0.0, "attempt": 1, "epoch": 0, "step": 1}
    with pytest.raises(RunError, match="Upgrade keras-tricks"):
        MetricRow.of(row)
    assert MetricRow.of({**row, "schema_version": 1}).values == {}


@given(
    old=st.lists(a_row(), min_size=1, max_size=6),
    new=st.lists(a_row(), max_size=6),
    how=st.sampled_from(["replaced", "rotated", "written anew", "removed for a while"]),
)
@settings(max_examples=100, deadline=None)
def test_another_file_is_read_from_its_start(tmp_path_factory, old, new, how):
    path = tmp_path_factory.mktemp("another") / "metrics.jsonl"
    new = [{**row, "t": row["t"] + 3e9} for row in new]
    after = b"".join(map(line, new))
    write(path, b"".join(map(line, old)))
    history = MetricsHistory(path)
    history.update()
    if how == "replaced":
        fresh = path.with_suffix(".new")
        fresh.write_bytes(after)
        fresh.replace(path)
    elif how == "rotated":
        path.rename(path.with_suffix(".1"))
        path.write_bytes(after)
    elif how == "written anew":
        write(path, after)
    else:
        path.unlink()
        assert history.update() == [] and not history.restarted
        path.write_bytes(after)
    assert seen(history.update()) == expected(new) and history.restarted
    assert seen(history.rows) == expected(new)


def test_a_file_written_anew_that_ends_alike_is_noticed(path):
    row = {"kind": "step", "t": 1e9, "attempt": 1, "epoch": 0, "step": 1, "values": {"loss": 0.0}}
    write(path, line(row))
    history = MetricsHistory(path)
    history.update()
    write(path, line({**row, "t": 3e9}))
    assert [row.t for row in history.update()] == [3e9]
    assert history.restarted


def test_a_longer_file_with_the_number_of_the_old_one_is_noticed(path):
    row = {"kind": "step", "t": 1.0, "attempt": 1, "epoch": 0, "step": 1, "values": {"loss": 2.0}}
    write(path, line(row) * 3)
    history = MetricsHistory(path)
    history.update()
    inode = path.stat().st_ino
    write(path, line({**row, "t": 2.0}) * 9)
    assert path.stat().st_ino == inode
    assert len(history.update()) == 9 and history.restarted and len(history.rows) == 9


@st.composite
def attempts(draw):
    """The rows of several attempts, each of which goes on at a step that one before it had reached."""
    rows, step = [], 0
    for attempt in range(1, draw(st.integers(1, 4)) + 1):
        step = draw(st.integers(0, step)) if attempt > 1 else 0
        rows.append({"kind": "attempt", "t": 0.0, "attempt": attempt, "epoch": 0, "step": step, "values": {}})
        for _ in range(draw(st.integers(0, 6))):
            step += draw(st.integers(1, 5))
            values = {"loss": float(attempt)}
            rows.append({"kind": "step", "t": 0.0, "attempt": attempt, "epoch": 0, "step": step, "values": values})
    return rows


@given(rows=attempts(), cuts=st.lists(st.integers(0, 30), max_size=4))
@settings(max_examples=150, deadline=None)
def test_what_an_attempt_does_again_does_not_count(tmp_path_factory, rows, cuts):
    path = tmp_path_factory.mktemp("attempts") / "metrics.jsonl"
    history = MetricsHistory(path)
    for cut in [*sorted(cuts), len(rows)]:
        write(path, b"".join(map(line, rows[:cut])))
        history.update()
    resumed = {row["attempt"]: row["step"] for row in rows if row["kind"] == "attempt"}
    kept = [
        row
        for row in rows
        if row["kind"] != "attempt"
        and all(row["step"] <= step for attempt, step in resumed.items() if attempt > row["attempt"])
    ]
    assert seen(history.rows) == expected(kept)
    steps, values = history.series("loss", "step")
    assert steps == sorted(set(steps)) and len(values) == len(steps)


def test_reading_without_keeping(path):
    row = {"kind": "step", "t": 1.0, "attempt": 1, "epoch": 0, "step": 1, "values": {"loss": 2.0}}
    history = MetricsHistory(path)
    assert list(history.read()) == []
    attempt = {**row, "kind": "attempt"}
    write(path, line(attempt) + line(row))
    assert [each.kind for each in history.read()] == ["attempt", "step"]
    assert history.rows == [] and list(history.read()) == []


def test_a_file_larger_than_a_block_is_read_whole(path):
    row = {"kind": "step", "t": 1.0, "attempt": 1, "epoch": 0, "step": 1, "values": {"loss": 2.0}}
    long_row = {**row, "note": "x" * 1_500_000}
    write(path, line(row) * 9000 + line(long_row) + line({**row, "step": 2}))
    rows = MetricsHistory(path).update()
    assert len(rows) == 9002 and rows[-1].step == 2
