"""The filter expression: what it matches, and that any text gets an answer or one clear error."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_tricks.runs import Best, Status
from keras_tricks.runs.columns import Viewpoint, known_keys
from keras_tricks.runs.filter import SYNTAX, FilterError, parse_filter
from keras_tricks.runs.summary import RunFacts, RunSummary

NOW = 1_800_000_000.0


def summary(name, state="finished", recipe=None, tricks=None, **status):
    facts = RunFacts(name, {"model": "resnet20", "data": "digits", "seed": 0, **(recipe or {})}, tricks or {})
    return RunSummary(Path("runs") / f"20270101T000000Z-{name}-{len(name):04x}", state, facts, Status(**status))


PLAIN = summary(
    "plain", epoch=9, epochs=10, last={"val_accuracy": 0.91, "val_loss": 0.3}, started=NOW - 7000, ended=NOW
)
MIXED = summary(
    "mix up",
    recipe={"seed": 1, "nesterov": False, "learning_rate": 0.1},
    tricks={"mixup": {"alpha": 0.3}, "warmup": {"epochs": 5}},
    last={"val_accuracy": 0.93, "val_loss": math.nan, "learning_rate": 0.0},
    best=Best(metric="val_accuracy", value=0.95, epoch=3),
    host="node-7",
)
LIVE = summary("big", "running", recipe={"model": "resnet50"}, tricks={"cutmix": {"alpha": 1.0}}, started=NOW - 60)
EMPTY = summary("empty", "failed", recipe={"model": None, "data": None, "seed": None})
RUNS = (PLAIN, MIXED, LIVE, EMPTY)
VIEW = Viewpoint(NOW, baseline=PLAIN, marked=frozenset({LIVE.directory}))


def matching(text):
    predicate = parse_filter(text, known_keys(RUNS))
    return [run.name for run in RUNS if predicate(run, VIEW)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["plain", "mix up", "big", "empty"]),
        ("val_accuracy>.9", ["plain", "mix up"]),
        ("val_accuracy>.9 trick:mixup state:finished", ["mix up"]),
        ("val_accuracy>=.93", ["mix up"]),
        ("val_accuracy=.93", ["mix up"]),
        ("val_accuracy!=.93", ["plain"]),
        ("-val_accuracy=.93", ["plain", "big", "empty"]),
        ("best>.94", ["mix up"]),
        ("val_loss<1", ["plain"]),
        ("val_loss:nan", ["mix up"]),
        ("delta.val_accuracy>0.01", ["mix up"]),
        ("learning_rate>=.1", ["mix up"]),
        ("last.learning_rate<.1", ["mix up"]),
        ("trick:mixup,cutmix", ["mix up", "big"]),
        ("trick:*mix*", ["mix up", "big"]),
        ("!trick:*mix*", ["plain", "empty"]),
        ("trick:mixup.alpha>0.2", ["mix up"]),
        ("cutmix.alpha=1", ["big"]),
        ("nesterov:no", ["mix up"]),
        ("state:live,failed", ["big", "empty"]),
        ("state:f*", ["plain", "mix up", "empty"]),
        ("model:resnet*", ["plain", "mix up", "big"]),
        ("model:ResNet50", ["big"]),
        ("host:node", ["mix up"]),
        ("seed:0,1 -seed:0", ["mix up"]),
        ("duration<2m", ["big"]),
        ("duration>1.5h", ["plain"]),
        ("age>1h", ["plain"]),
        ("started>2027-01-15 age<90s", ["big"]),
        ("marked:yes", ["big"]),
        ('"mix up"', ["mix up"]),
        ("name:'mix up'", ["mix up"]),
        ("MIX", ["mix up"]),
        ("0005", ["plain", "empty"]),
        ("big or plain", ["plain", "big"]),
        ("(big or plain) and state:finished", ["plain"]),
        ("-(big or plain)", ["mix up", "empty"]),
        ("--big", ["big"]),
        ("val_accuracy > .9 state != failed", ["plain", "mix up"]),
        ("trick: mixup state :finished", ["mix up"]),
        ("trick:mixup.alpha > .2", ["mix up"]),
        ("val_accuracy != .93", ["plain"]),
        ("big !state:finished", ["big"]),
        ("not trick:*mix*", ["plain", "empty"]),
        ("state:finished and NOT (big or plain)", ["mix up"]),
        ("not not big", ["big"]),
        ("'not'", []),
        ("nothing", []),
    ],
)
def test_what_matches(text, names):
    assert matching(text) == names


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("val_acuracy>.9", 0, "Did you mean val_accuracy?"),
        ("big zzz>1", 4, "There are: trick, state, name"),
        ("val_accuracy>much", 13, "Expected a number after '>'. Received: 'much'"),
        ("duration>long", 9, "a time as 90s, 30m"),
        ("started>soon", 8, "a day as 2027-01-31"),
        ("name>3", 5, "name is a word"),
        ("state:done", 6, "There are: queued"),
        ("state:", 6, "Expected a value"),
        ("state: ", 6, "Expected a value"),
        ("duration > long", 11, "a time as 90s, 30m"),
        (">3", 0, "Expected a name before '>'"),
        ("> 3", 0, "Expected a name before '>'"),
        ("big not", 4, "Expected a condition after 'not'"),
        ("trick>3", 0, "Expected trick:NAME"),
        ("a 'b c", 2, "no second '"),
        ("a -", 2, "Expected a condition after '-'"),
        ("a (b", 2, "no ')'"),
        ("a) b", 1, "no '('"),
        ("a or", 4, "Expected a condition"),
        ("()", 1, "Expected a condition"),
        ("(" * 99 + "a" + ")" * 99, 30, "30 deep"),
    ],
)
def test_errors_name_the_place_and_what_is_possible(text, place, words):
    with pytest.raises(FilterError) as caught:
        parse_filter(text, known_keys(RUNS))
    assert caught.value.place == place
    assert words in str(caught.value)
    assert f"character {place + 1}:" in str(caught.value)


def test_the_examples_of_the_syntax_are_examples():
    names = [*known_keys(RUNS), "a", "b", "c"]
    for example, _ in SYNTAX:
        parse_filter(example, names)


SIGNS = (":", ">", "<=", "!=", "=", "-", "!", "(", ")", " ", " or ", " not ", ",", "*", "?", "'", '"', "[", "]", "\0")
WORDS = ("val_accuracy", "trick", "state", "seed", "age", "mixup", "mixup.alpha", "finished", "big")
NUMBERS = (".9", "2h", "nan", "1e999", "9" * 50)
fragments = st.sampled_from((*SIGNS, *WORDS, *NUMBERS))
texts = st.one_of(st.text(max_size=30), st.lists(fragments, max_size=12).map("".join))


@given(texts)
def test_any_text_gets_an_answer_or_a_clean_error(text):
    for names in (None, known_keys(RUNS)):
        try:
            predicate = parse_filter(text, names)
        except FilterError as error:
            assert 0 <= error.place <= len(text)
            assert "\n" not in str(error)
        else:
            assert all(predicate(run, VIEW) in (True, False) for run in RUNS)


@given(texts)
def test_a_condition_and_its_negation_part_the_runs(text):
    try:
        predicate = parse_filter(f"({text})")
    except FilterError:
        return
    negated = parse_filter(f"-({text})")
    assert all(predicate(run, VIEW) != negated(run, VIEW) for run in RUNS)


@given(texts, texts)
def test_a_space_is_and(first, second):
    try:
        predicates = [parse_filter(f"({text})") for text in (first, second)]
    except FilterError:
        return
    both, either = parse_filter(f"({first}) ({second})"), parse_filter(f"({first}) or ({second})")
    for run in RUNS:
        answers = [predicate(run, VIEW) for predicate in predicates]
        assert both(run, VIEW) == all(answers)
        assert either(run, VIEW) == any(answers)
