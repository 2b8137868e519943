"""The grid: which run is which cell's, what is left to do for it, and the id that finds an ablation again."""

import pytest

from keras_tricks.ablation import variants
from keras_tricks.ablation.grid import Grid, identity
from keras_tricks.ablation.queueing import queue_variants
from keras_tricks.presets import presets
from keras_tricks.queue import RunQueue
from keras_tricks.recipe import RecipeError
from keras_tricks.runs import RunError, RunWriter, schema
from keras_tricks.tricks import TRICKS

RECIPE = presets()["quickstart"].changed(tricks=(TRICKS["label_smoothing"](), TRICKS["mixup"]()))


def grid(root, recipe=RECIPE, design="stack", seeds=(0, 1), **options):
    return Grid(root, variants(recipe, design, seeds), design, "quickstart", **options)


def actions(of, **options):
    return [cell.action for cell in of.cells(**options)]


def end(cell, state, checkpoint=False):
    with RunWriter(cell.run.directory) as writer:
        writer.begin(epochs=1, steps=1)
        if checkpoint:
            folder = cell.run.directory / schema.CHECKPOINTS
            folder.mkdir()
            (folder / "epoch-0001.weights.h5").touch()
        if state != "running":
            writer.end(state)


def test_identity_is_what_is_trained():
    assert identity(RECIPE.changed(name="other", description="words")) == identity(RECIPE)
    assert identity(RECIPE.changed(seed=1)) != identity(RECIPE)
    assert identity(RECIPE.changed(seed=1), with_seed=False) == identity(RECIPE, with_seed=False)
    assert identity(RECIPE.changed(tricks=(TRICKS["mixup"](alpha=0.3),))) != identity(RECIPE)


def test_cells_begin_without_runs_and_get_one_each(tmp_path):
    first = grid(tmp_path)
    assert [(cell.variant.name, cell.variant.seed, cell.action, cell.run) for cell in first.cells()] == [
        (name, seed, "train", None) for name in ("baseline", "+ label_smoothing", "+ mixup") for seed in (0, 1)
    ]
    made = first.make_runs(first.cells())
    assert len({cell.run.id for cell in made}) == 6
    document = made[3].run.document()
    assert document["ablation"] == {"id": first.id, "design": "stack", "variant": "+ label_smoothing", "place": 1}
    assert document["argv"][:3] == ["keras-tricks", "train", "quickstart"]
    again = grid(tmp_path, RECIPE.changed(name="renamed"))
    assert again.id == first.id
    assert [cell.run.id for cell in again.make_runs(again.cells())] == [cell.run.id for cell in made]


def test_what_is_left_to_do(tmp_path):
    cells = grid(tmp_path).make_runs(grid(tmp_path).cells())
    end(cells[0], "finished")
    end(cells[1], "stopped", checkpoint=True)
    end(cells[2], "failed")
    end(cells[3], "running")
    assert actions(grid(tmp_path)) == ["keep", "resume", "train again", "train again", "train", "train"]
    assert actions(grid(tmp_path), retry=False)[2:4] == ["leave", "train again"], "The fourth is lost."
    with RunWriter(cells[4].run.directory) as writer:
        writer.begin(epochs=1, steps=1)
        assert actions(grid(tmp_path))[4] == "wait for"
    (cells[0].run.directory / schema.STATUS_FILE).write_text("{")
    assert actions(grid(tmp_path))[0] == "train", "A damaged run does not count."


def test_more_seeds_add_to_an_ablation_and_another_recipe_is_another_one(tmp_path):
    cells = grid(tmp_path).make_runs(grid(tmp_path).cells())
    end(cells[0], "finished")
    more = grid(tmp_path, seeds=(0, 1, 2))
    assert more.id == grid(tmp_path).id
    assert [cell.run is None for cell in more.cells()] == [False, False, True] * 3
    assert actions(more)[0] == "keep"
    others = [grid(tmp_path, RECIPE.changed(epochs=7)), grid(tmp_path, design="leave-one-out")]
    assert len({more.id, *(other.id for other in others)}) == 3
    assert all(cell.run is None for other in others for cell in other.cells())


def test_a_finished_run_counts_before_newer_ones_of_its_cell(tmp_path):
    one = grid(tmp_path, seeds=(0,))
    first, second = one.make_runs(one.cells())[0], one.make_runs(one.cells())[0]
    end(first, "finished")
    end(second, "stopped")
    assert one.cells()[0].run.id == first.run.id


def test_two_variants_of_one_recipe_are_one_cell(tmp_path):
    twice = [*variants(RECIPE, "stack"), *variants(RECIPE, "stack")]
    assert [cell.variant.name for cell in Grid(tmp_path, twice, "stack", "quickstart").cells()] == [
        "baseline",
        "+ label_smoothing",
        "+ mixup",
    ]


def test_an_id_goes_on_with_a_queued_ablation(tmp_path):
    queued = queue_variants(RunQueue(tmp_path), variants(RECIPE, "stack", (0, 1)), "stack", "quickstart")
    found = grid(tmp_path, ablation_id=queued[0].document()["ablation"]["id"])
    assert [cell.run.id for cell in found.cells()] == [run.id for run in queued]
    assert set(actions(found)) == {"train"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"ablation_id": "a/b"}, "Expected an id of letters"),
        ({"ablation_id": "mine", "design": "leave-one-out"}, "has the design stack, not leave-one-out"),
        ({"ablation_id": "mine", "recipe": RECIPE.changed(epochs=7)}, "6 of the 6 runs"),
        ({"ablation_id": "mine", "recipe": RECIPE.changed(tricks=RECIPE.tricks[:1])}, "2 of the 6 runs .* mix them"),
    ],
)
def test_an_id_that_is_no_id_of_this_ablation(tmp_path, options, reason):
    mine = grid(tmp_path, ablation_id="mine")
    mine.make_runs(mine.cells())
    with pytest.raises(RecipeError, match=reason):
        grid(tmp_path, **options)


def test_one_process_holds_an_ablation(tmp_path):
    with grid(tmp_path).held():
        with pytest.raises(RunError, match="Another `keras-tricks ablate`"), grid(tmp_path).held():
            pass
        with grid(tmp_path, design="leave-one-out").held():
            pass
    with grid(tmp_path).held():
        pass


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError), grid(tmp_path / "file").held():
        pass
