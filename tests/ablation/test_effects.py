"""Effects: which runs are one variant, what it is called, and what counts."""

from pathlib import Path

import pytest

from keras_tricks.ablation.effects import effects, effects_table, group_runs
from keras_tricks.runs import Status
from keras_tricks.runs.comparison import ComparedRun
from keras_tricks.runs.summary import RunFacts, RunSummary


def run(name, seed, accuracy, *, tricks=("warmup",), state="finished", ablation=None, batch_size=128):
    facts = RunFacts(
        name,
        {"name": name, "seed": seed, "batch_size": batch_size},
        {trick: {"alpha": 0.2} for trick in tricks},
        ablation=ablation,
    )
    number = len(tricks) * 100 + seed
    status = Status(last={} if accuracy is None else {"val_accuracy": accuracy})
    summary = RunSummary(Path(f"runs/2027{number:04d}-{name}-{seed}"), state, facts, status)
    return ComparedRun(summary, "A", {})


def test_variants_are_paired_by_seed():
    runs = [run("plain", seed, 0.8 + seed / 100) for seed in range(3)]
    runs += [run("mixed", seed, 0.82 + seed / 50, tricks=("warmup", "mixup")) for seed in (0, 1, 5)]
    groups = group_runs(runs)
    assert [group.name for group in groups] == ["plain", "+mixup"]
    base, mixed = effects(groups, "val_accuracy")
    assert base.difference is None and base.values.n == 3 and base.note == ""
    assert mixed.difference.mean == pytest.approx(0.025)
    assert mixed.difference.seeds == (0, 1)
    assert mixed.note == "unpaired: seed 2, 5"
    assert effects_table([base, mixed], "val_accuracy").rows[1][:2] == ("+mixup", 3)


def test_the_baseline_is_the_chosen_run_s_variant():
    runs = [run("plain", 0, 0.8), run("mixed", 0, 0.9, tricks=("warmup", "mixup"), batch_size=64)]
    groups = group_runs(runs, runs[1].summary.directory)
    assert [group.name for group in groups] == ["mixed", "-mixup batch_size=128"]
    found = effects(groups, "val_accuracy")[1]
    assert found.difference.mean == pytest.approx(-0.1)
    assert found.note == "one seed, so no interval"


def test_names_and_order_of_an_ablation():
    def place(number, name):
        return {"id": "f00", "design": "leave-one-out", "variant": name, "place": number}

    runs = [
        run("x", 0, 0.7, tricks=("mixup",), ablation=place(2, "without warmup")),
        run("x", 0, 0.9, tricks=("warmup", "mixup"), ablation=place(0, "all tricks")),
        run("x", 0, 0.8, tricks=(), ablation=place(1, "nothing")),
        run("stray", 0, 0.8, tricks=("cutmix", "mixup", "warmup")),
    ]
    assert [group.name for group in group_runs(runs)] == ["all tricks", "nothing", "without warmup", "+cutmix"]


def test_what_does_not_count_is_named():
    runs = [
        run("plain", 0, 0.8),
        run("plain", 1, 0.5, state="running"),
        run("mixed", 3, 0.9, tricks=("warmup", "mixup")),
        run("odd", 0, float("nan"), tricks=("warmup", "mixup", "cutmix")),
        run("odd", 1, None, tricks=("warmup", "mixup", "cutmix")),
        run("earlier", 2, 0.9, tricks=("cutmix",)),
        run("later", 2, 0.8, tricks=("cutmix",)),
    ]
    notes = [effect.note for effect in effects(group_runs(runs), "val_accuracy")]
    odd = [f"{runs[3].summary.id} ended with NaN", f"{runs[4].summary.id} ended without a value"]
    assert notes == [
        f"{runs[1].summary.id} is running",
        f"no seed in common with the baseline; {runs[5].summary.id} has the seed of a newer run",
        "no seed in common with the baseline",
        "; ".join(["no finished run with a value", *odd]),
    ]


def test_without_runs_there_are_no_effects():
    assert effects(group_runs([]), "val_accuracy") == []


def test_runs_without_a_recipe_are_variants_by_name():
    runs = [
        ComparedRun(RunSummary(Path(f"runs/{place}"), "finished", RunFacts(name), Status(last={"loss": 1.0})), "A", {})
        for place, name in enumerate(("mine", "mine", "other"))
    ]
    assert [(group.name, len(group.runs)) for group in group_runs(runs)] == [("mine", 2), ("other", 1)]
    assert effects(group_runs(runs), "loss")[0].note == "0 has the name of a newer run"
