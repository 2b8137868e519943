"""The learning-rate range test: its rule on known curves, and what it does with a recipe."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_tricks import Recipe, RecipeError, tricks
from keras_tricks.rate_range import RateRange, divergence, plot_rate_ranges

RATES = np.geomspace(1e-4, 10, 101)


def bowl(steepest=0.01, diverges=3.0):
    """A loss that falls by an S-curve, steepest at a rate, and explodes at another."""
    fall = 2.3 - 2 / (1 + np.exp(-4 * np.log(RATES / steepest)))
    return np.where(diverges <= RATES, 1e3, fall)


def test_the_smoothed_loss_is_the_mean_of_a_window_around_each_step():
    losses = np.random.default_rng(0).normal(size=36)
    smoothed = RateRange(8, RATES[:36], losses).smoothed
    np.testing.assert_allclose(
        smoothed[[0, 1, 2, 20, 35]], [losses[0], losses[:3].mean(), losses[:5].mean(), losses[17:24].mean(), losses[35]]
    )


def test_a_running_average_of_four_times_the_lowest_is_divergence():
    losses = np.concatenate([np.linspace(2, 1, 30), np.geomspace(1, 1e4, 30)])
    weights = 0.9 ** np.arange(60)
    averages = [(weights[: n + 1][::-1] * losses[: n + 1]).sum() / weights[: n + 1].sum() for n in range(60)]
    expected = next(n for n in range(60) if averages[n] > 4 * min(averages[: n + 1]))
    assert divergence(losses) == expected
    assert divergence(losses[:35]) is None
    assert divergence([1.0, 2.0, float("nan")]) == 2


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("steepest", [0.003, 0.05])
def test_the_suggestion_is_where_the_loss_falls_most_without_the_lag_of_an_average(steepest, noise):
    found = RateRange(8, RATES, bowl(steepest) + np.random.default_rng(0).normal(scale=noise, size=101))
    assert found.suggestion == pytest.approx(steepest, rel=0.15 if noise == 0 else 0.6)
    assert found.suggestion < found.lowest_at < found.diverged_at
    assert 3 <= found.diverged_at < 4
    assert RateRange(8, RATES, bowl(diverges=99)).diverged_at is None


def test_what_never_falls_has_no_suggestion_and_nan_is_divergence():
    assert RateRange(8, RATES, np.linspace(1, 2, 101)).suggestion is None
    assert RateRange(8, RATES[:4], bowl()[:4]).suggestion is None
    losses = bowl(diverges=99)
    losses[80:] = np.nan
    found = RateRange(8, RATES, losses)
    assert found.diverged_at == RATES[80]
    assert found.suggestion == RateRange(8, RATES, bowl(diverges=99)).suggestion
    nothing = RateRange(8, RATES, np.full(101, np.nan))
    assert (nothing.suggestion, nothing.lowest_at, nothing.diverged_at) == (None, None, RATES[0])


@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_noise_alone_suggests_nothing_and_a_fall_beyond_it_does(draw):
    generator = np.random.default_rng(0)
    noise = getattr(generator, draw)(scale=0.1, size=(300, 101))
    assert not any(RateRange(8, RATES, 2.3 + each).has_fallen for each in noise)
    found = RateRange(8, RATES, 2.3 + noise[0])
    assert found.suggestion is None and "--to" in found.problem and "Up to 10 " in found.problem
    falling = [RateRange(8, RATES, each - 0.3 * np.linspace(0, 1, 101)) for each in noise]
    assert np.mean([each.has_fallen for each in falling]) > 0.95
    assert falling[0].problem is None
    rising = RateRange(8, RATES, 2.3 + noise[0] + np.where(RATES > 3, 1e3, 0))
    assert rising.suggestion is None and "--from" in rising.problem


def test_the_plot_is_written_whatever_was_found(tmp_path):
    ranges = [RateRange(8, RATES, bowl()), RateRange(16, RATES, np.full(101, np.nan))]
    path = plot_rate_ranges(ranges, tmp_path / "plot.png", title="mine")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.backend
def test_the_rate_grows_by_a_factor():
    from keras_tricks.find_rates import GrowingRate

    schedule = GrowingRate(1e-3, 10.0, 5)
    rates = [float(keras.ops.convert_to_numpy(schedule(step))) for step in range(5)]
    np.testing.assert_allclose(rates, [1e-3, 1e-2, 1e-1, 1, 10], rtol=1e-5)


@pytest.fixture(scope="module")
def digits():
    from keras_tricks import data
    from keras_tricks.data.image_data_set import ArraySplit

    whole = data.load("digits")
    split = ArraySplit(whole.train.images[:64].numpy(), whole.train.labels[:64].numpy())
    return dataclasses.replace(whole, train=split)


def test_it_trains_with_these_rates_over_epochs_and_stops_where_it_diverges(digits):
    from keras_tricks.find_rates import find_rates

    on = (tricks.CosineDecay(), tricks.Warmup(epochs=1), tricks.LinearScaling())
    recipe = Recipe(model="nfnet_tiny", image_size=8, batch_size=16, epochs=2, tricks=on)
    found = find_rates(recipe, 1e-4, 1e6, 40, digits)
    np.testing.assert_allclose(found.rates, np.geomspace(1e-4, 1e6, 40)[: len(found.rates)], rtol=1e-4)
    # Four batches an epoch: the stream goes on after them.
    assert 8 < len(found.rates) < 40
    assert found.losses[0] == pytest.approx(np.log(10), rel=0.2)
    assert found.diverged_at == found.rates[-1]
    for arguments in ({"lowest": 1.0, "highest": 0.1}, {"lowest": 0.0}, {"steps": 3}):
        with pytest.raises(RecipeError, match="Expected"):
            find_rates(recipe, data_set=digits, **arguments)


def test_the_command_prints_and_draws(tmp_path, capsys, monkeypatch):
    from keras_tricks import find_rates as module
    from keras_tricks.cli import main

    asked = []

    def fake(recipe, lowest, highest, steps, data_set):
        asked.append((recipe.batch_size, lowest, highest, steps))
        return RateRange(recipe.batch_size, RATES, bowl())

    monkeypatch.setattr(module, "find_rates", fake)
    words = ["lr-find", "quickstart", "--batch-size", "64,512", "--trick", "linear_scaling", "--steps", "101"]
    words += ["--from", "1e-4", "--plot", str(tmp_path / "new" / "found.png")]

    def run(*more):
        with pytest.raises(SystemExit) as caught:
            main([*words, *more])
        return caught.value.code or 0, capsys.readouterr()

    code, printed = run("--json")
    assert code == 0
    assert asked == [(64, 1e-4, 10.0, 101), (512, 1e-4, 10.0, 101)]
    small, large = json.loads(printed.out)["tests"]
    assert small["recipe_learning_rate"] == pytest.approx(4 * small["suggestion"])
    assert large["recipe_learning_rate"] == pytest.approx(large["suggestion"] / 2)
    assert (tmp_path / "new" / "found.png").exists()
    code, printed = run()
    assert "suggestion" in printed.out and "0.0" in printed.out
    for sizes, reason in (
        ("64,many", "batch_size: input should be a valid integer"),
        ("64,0", "batch_size: input should be greater than or equal to 1"),
        ("64,2000", "Set batch_size=1437 or less"),
    ):
        code, printed = run("--batch-size", sizes)
        assert code == 2 and reason in printed.err
    (tmp_path / "file").touch()
    code, printed = run("--plot", str(tmp_path / "file" / "found.png"))
    assert code == 2 and "suggestion" in printed.out
    assert "found.png cannot be written" in printed.err and "checkpoint" not in printed.err
