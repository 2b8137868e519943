"""The expected calibration error against its definition, answer by answer."""

import numpy as np
import pytest

from keras_tricks.calibration import BINS, Calibration


def definition(confidences, correct, bins=BINS):
    error = 0.0
    for place in range(bins):
        inside = (confidences > place / bins) & (confidences <= (place + 1) / bins)
        if inside.any():
            error += inside.mean() * abs(correct[inside].mean() - confidences[inside].mean())
    return error


def test_the_error_is_the_papers_also_in_parts():
    generator = np.random.default_rng(0)
    confidences = generator.uniform(0.1, 1.0, 500)
    correct = generator.uniform(size=500) < confidences**2
    calibration = Calibration.empty()
    for part in (slice(0, 77), slice(77, 300), slice(300, 500)):
        calibration = calibration.with_answers(confidences[part], correct[part])
    assert calibration.error == pytest.approx(definition(confidences, correct))
    assert calibration.confidence == pytest.approx(confidences.mean())
    assert calibration.counts.sum() == 500


def test_who_is_as_sure_as_right_has_no_error_and_who_is_always_sure_has_that_of_the_accuracy():
    answers = np.arange(10) < 6
    assert Calibration.empty().with_answers(np.full(10, 0.6), answers).error == pytest.approx(0)
    assert Calibration.empty().with_answers(np.ones(10), answers).error == pytest.approx(0.4)


def test_no_answers_have_no_error_and_no_number_is_no_confidence():
    assert Calibration.empty().error is None
    assert Calibration.empty().confidence is None
    nothing = Calibration.empty().with_answers(np.array([np.nan, 0.5]), np.array([False, True]))
    assert nothing.counts.sum() == 1
