"""What earlier runs say of a trick, and of the time that an epoch takes."""

from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from keras_tricks import tricks
from keras_tricks.ablation.earlier_runs import finding, seconds_per_epoch, trick_pairs
from keras_tricks.presets import presets
from keras_tricks.runs import Status
from keras_tricks.runs.schema import Best
from keras_tricks.runs.summary import RunFacts, RunSummary

BASE = presets()["quickstart"].changed(tricks=(tricks.Mixup(),))


def summary(recipe, value, state="finished", **status):
    document = recipe.model_dump(mode="json")
    listed = document.pop("tricks")
    on = {trick.pop("trick"): trick for trick in listed}
    return RunSummary(
        directory=Path(f"{recipe.name}-{recipe.seed}-{value}"),
        state=state,
        facts=RunFacts(recipe.name, document, on),
        status=Status(state="finished", last={"val_accuracy": value}, **status),
    )


def pair(seed, without, with_it, recipe=BASE):
    recipe = recipe.changed(seed=seed)
    return [summary(recipe, with_it), summary(recipe.without_trick("mixup").changed(name="other"), without)]


def test_pairs_differ_in_the_trick_only():
    found = trick_pairs([*pair(0, 0.90, 0.92), *pair(1, 0.91, 0.92), *pair(2, 0.90, 0.93)])
    assert found["mixup"].runs == 3
    assert sorted(found["mixup"].pairs["val_accuracy"]) == [(0.90, 0.92), (0.90, 0.93), (0.91, 0.92)]
    words = finding(found["mixup"])
    half = stats.t.ppf(0.975, 2) * stats.tstd([2, 1, 3]) / 3**0.5
    assert words == f"3 runs with it, Δval_accuracy +2.00 points ±{half:.2f} (95 %, 3 pairs)"


@pytest.mark.parametrize(
    "twin",
    [
        BASE.changed(tricks=(), seed=1),
        BASE.changed(tricks=(), epochs=3),
        BASE.changed(tricks=(tricks.Cutmix(),)),
        BASE.changed(tricks=(tricks.Mixup(alpha=0.7),)),
    ],
)
def test_what_is_no_pair(twin):
    found = trick_pairs([summary(BASE, 0.9), summary(twin, 0.8)])
    assert found["mixup"].pairs == {}
    assert "no pairs of runs with and without it yet" in finding(found["mixup"])


def test_only_finished_runs_with_a_value_count():
    with_it, without = pair(0, 0.8, 0.9)
    assert trick_pairs([summary(BASE, 0.9, state="stopped"), without]) == {}
    assert trick_pairs([summary(BASE, float("nan")), without]) == {}
    assert finding(trick_pairs([without]).get("mixup")) == "no finished run with it yet"
    assert finding(trick_pairs([with_it, without])["mixup"]).endswith("+10.00 points in 1 pair: no interval")
    twice = trick_pairs([with_it, summary(BASE, 0.7), without])["mixup"]
    assert twice.runs == 2
    assert twice.pairs == {"val_accuracy": ((0.8, pytest.approx(0.8)),)}


def test_each_task_has_its_own_metric():
    streets = presets()["camvid_fcn_resnet50_d"].changed(tricks=(tricks.Mixup(),))
    segmenters = [
        replace(run, status=run.status.model_copy(update={"last": {"val_mean_iou": value}, "best": best}))
        for run, value in zip(pair(0, 0.0, 0.0, streets), (0.45, 0.4), strict=True)
        for best in [Best(metric="val_mean_iou", value=value, epoch=1)]
    ]
    words = finding(trick_pairs([*pair(0, 0.90, 0.92), *segmenters])["mixup"])
    assert words == (
        "2 runs with it, Δval_accuracy +2.00 points in 1 pair: no interval, "
        "Δval_mean_iou +5.00 points in 1 pair: no interval"
    )


def test_seconds_of_an_epoch():
    def run(seconds, recipe=BASE, **status):
        return summary(recipe, 0.9, started=100.0, ended=100.0 + seconds, epoch=10, **status)

    runs = [run(20), run(30), run(90), run(1000, BASE.changed(batch_size=32)), run(5000, attempt=2)]
    assert seconds_per_epoch(BASE.changed(seed=7, tricks=()), runs) == 3.0
    assert seconds_per_epoch(BASE.changed(data="cifar10"), runs) is None
