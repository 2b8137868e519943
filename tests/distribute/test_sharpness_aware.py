import keras
import numpy as np
import pytest

from keras_tricks.ascent_images import ascent_count, ascent_places, makes_same_parts, nearest_share
from keras_tricks.data import Part
from keras_tricks.distribute import Batch, ReplicaModel, SharpnessAware
from keras_tricks.optimizers import SGD

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the trainer is TensorFlow's")


def linear(rho=0.05, ascent="reduced", ascent_share=1.0, **options):
    """A linear model without bias, whose gradients are known in closed form."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(inputs))
    model = ReplicaModel.of(model, gradient_method=SharpnessAware(rho, ascent, ascent_share), **options)
    model.compile(SGD(0.1, momentum=0.0, nesterov=False), "mse")
    return model


def gradient(weights, x, y, sample_weight=1.0):
    return 2 * x.T @ (np.reshape(sample_weight, (-1, 1)) * (x @ weights - y)) / len(x)


def data(count=8):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(count, 3)).astype("float32")
    x[: count // 2] *= 4
    return x, x.sum(1, keepdims=True)


@pytest.mark.parametrize("rho", [0.05, 1.0])
def test_a_step_is_the_papers_formula(rho):
    model = linear(rho)
    before = model.get_weights()[0]
    x, y = data()
    model.fit(x, y, batch_size=8, verbose=0)
    ascent = gradient(before, x, y)
    ascended = before + rho * ascent / np.linalg.norm(ascent)
    np.testing.assert_allclose(model.get_weights()[0], before - 0.1 * gradient(ascended, x, y), rtol=1e-5)


def test_a_vanishing_rho_changes_nothing():
    x, y = data()
    ours = linear(1e-12)
    ours.fit(x, y, batch_size=8, verbose=0)
    plain = ReplicaModel.of(linear(), gradient_method=None)
    plain.compile(SGD(0.1, momentum=0.0, nesterov=False), "mse")
    keras.utils.set_random_seed(0)
    plain.set_weights(linear().get_weights())
    plain.fit(x, y, batch_size=8, verbose=0)
    np.testing.assert_allclose(ours.get_weights()[0], plain.get_weights()[0], rtol=1e-6)


def test_each_replica_ascends_on_its_own_if_asked_to(two_replicas):
    x, y = data()
    with two_replicas.scope():
        model = linear(1.0, "per_replica")
    before = model.get_weights()[0]
    model.fit(x, y, batch_size=8, verbose=0, shuffle=False)
    gradients = []
    for part in (slice(0, 4), slice(4, 8)):
        ascent = gradient(before, x[part], y[part])
        gradients.append(gradient(before + ascent / np.linalg.norm(ascent), x[part], y[part]))
    expected = before - 0.1 * np.mean(gradients, axis=0)
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5)
    whole = gradient(before, x, y)
    reduced = before - 0.1 * gradient(before + whole / np.linalg.norm(whole), x, y)
    assert np.abs(expected - reduced).max() > 1e-2


def test_only_the_first_pass_moves_statistics_metrics_and_seeds():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    x = keras.layers.BatchNormalization(momentum=0.5)(inputs)
    x = keras.layers.Dropout(0.5, seed=3)(x)
    model = ReplicaModel.of(keras.Model(inputs, keras.layers.Dense(1)(x)))
    model.compile(SGD(0.1), "mse")
    images, targets = data()
    batch = Batch(keras.ops.convert_to_tensor(images), keras.ops.convert_to_tensor(targets))
    model.batch_gradients(batch)
    after_first = [np.array(each.numpy()) for each in [*model.non_trainable_variables, *model.metrics_variables]]
    np.testing.assert_allclose(model.get_layer(index=1).moving_mean.numpy(), 0.5 * images.mean(0), rtol=1e-5, atol=1e-6)
    model.batch_gradients(batch, [keras.ops.convert_to_tensor(each) + 0.1 for each in model.trainable_variables])
    after_second = [each.numpy() for each in [*model.non_trainable_variables, *model.metrics_variables]]
    for one, other in zip(after_first, after_second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("share", "places"), [(0.25, [0, 4]), (0.3, [0, 2, 5]), (0.5, [0, 2, 4, 6]), (0.01, [0])])
@pytest.mark.parametrize("static", [True, False])
def test_it_ascends_with_a_part_of_the_batch_and_steps_with_all_of_it(share, places, static):
    import tensorflow as tf

    model = linear(1.0, ascent_share=share)
    before = model.get_weights()[0]
    x, y = data()
    weight = np.linspace(0.5, 2, 8).astype("float32")
    batches = tf.data.Dataset.from_tensor_slices((x, y, weight)).batch(8, drop_remainder=static)
    loss = model.fit(batches, verbose=0).history["loss"][0]
    ascent = gradient(before, x[places], y[places], weight[places])
    ascended = before + ascent / np.linalg.norm(ascent)
    expected = before - 0.1 * gradient(ascended, x, y, weight)
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5)
    errors = np.square(x[places] @ before - y[places])[:, 0]
    np.testing.assert_allclose(loss, np.mean(weight[places] * errors), rtol=1e-5)


def test_statistics_are_those_of_the_part_and_move_once():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    outputs = keras.layers.Dense(1)(keras.layers.BatchNormalization(momentum=0.5)(inputs))
    model = ReplicaModel.of(keras.Model(inputs, outputs), gradient_method=SharpnessAware(ascent_share=0.5))
    model.compile(SGD(0.1), "mse")
    x, y = data()
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    norm = model.get_layer(index=1)
    np.testing.assert_allclose(norm.moving_mean.numpy(), 0.5 * x[::2].mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(norm.moving_variance.numpy(), 0.5 + 0.5 * x[::2].var(0), rtol=1e-5)


@pytest.mark.parametrize("images", [*range(1, 20), 1023])
@pytest.mark.parametrize("share", [0.01, 0.2, 1 / 3, 0.5, 0.999])
def test_the_picked_places_are_as_many_and_as_far_apart_as_they_should(images, share):
    places = ascent_places(images, share)
    assert places[0] == 0 and len(places) == ascent_count(images, share) >= images * share - 1e-3
    gaps = np.diff([*places, images])
    assert gaps.max() - gaps.min() <= 1
    assert ascent_places(images, 1.0) == list(range(images))
    nearest = nearest_share(images, share)
    assert nearest is None if images == 1 else makes_same_parts(images, nearest)


@pytest.mark.parametrize("share", [0.25, 0.5, 6 / 16])
@pytest.mark.parametrize("workers", [1, 2])
def test_parts_pick_what_the_whole_batch_does(share, workers):
    images = 32
    picked = []
    for worker in range(workers):
        of_worker = Part(worker, workers).places(images)
        for start in range(0, len(of_worker), 16):
            part = of_worker[start : start + 16]
            assert makes_same_parts(16, share)
            picked += [part[place] for place in ascent_places(16, share)]
    assert sorted(picked) == ascent_places(images, share)


@pytest.mark.parametrize("static", [True, False])
def test_replicas_that_would_pick_other_images_are_refused(two_replicas, static):
    import tensorflow as tf

    x, y = data()
    for share, fits in ((0.5, True), (0.25, False)):
        with two_replicas.scope():
            model = linear(ascent_share=share)
        batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(8, drop_remainder=static)
        if fits:
            model.fit(batches, verbose=0)
            continue
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="pick an even number of examples"):
            model.fit(batches, verbose=0)


def test_float16_ascends_with_a_part_too_and_skips_what_overflows():
    keras.config.set_dtype_policy("mixed_float16")
    x, y = data()
    model = linear(1.0, ascent_share=0.5)
    before = model.get_weights()[0]
    while not model.optimizer.iterations.numpy():
        model.fit(x, y, batch_size=8, verbose=0, shuffle=False)
    ascent = gradient(before, x[::2], y[::2])
    ascended = before + ascent / np.linalg.norm(ascent)
    expected = before - 0.1 * gradient(ascended, x, y)
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-2, atol=1e-2)
    scale, after = float(model.optimizer.dynamic_scale), model.get_weights()[0]
    # Not among the images that are picked: the second pass alone overflows.
    x[1] = 6e4
    model.fit(x, y, batch_size=8, verbose=0, shuffle=False)
    np.testing.assert_array_equal(model.get_weights()[0], after)
    assert float(model.optimizer.dynamic_scale) == scale / 2


@pytest.mark.parametrize("steps", [1, 2])
def test_both_passes_draw_the_same_and_the_next_step_draws_anew(steps):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((64,))
    dropped = keras.layers.Dropout(0.5, seed=3)(inputs)
    model = ReplicaModel.of(
        keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(dropped)), accumulation_steps=steps
    )
    model.compile(SGD(0.1), keras.losses.MeanAbsoluteError())
    batch = Batch(keras.ops.ones((2, 64)), -1e3 * keras.ops.ones((2, 1)))

    def gradient(*words):
        # Of the absolute error of far too large predictions the gradient shows which inputs were kept.
        return keras.ops.convert_to_numpy(model.batch_gradients(batch, *words)[0])

    seeds = model.seed_states()
    first = gradient()
    again = gradient([keras.ops.convert_to_tensor(each) + 0.01 for each in model.trainable_variables], seeds)
    np.testing.assert_allclose(again, first)
    assert (gradient() != first).any()


@pytest.mark.slow
def test_a_normalizer_free_network_trains_with_it():
    from keras_tricks import models

    keras.utils.set_random_seed(0)
    network = models.NFResNet20(weights=None, input_shape=(16, 16, 3), classes=3, classifier_activation=None)
    model = ReplicaModel.of(network, gradient_method=SharpnessAware())
    model.compile(SGD(0.01), keras.losses.CategoricalCrossentropy(from_logits=True))
    x = np.random.default_rng(0).normal(size=(8, 16, 16, 3)).astype("float32")
    y = np.eye(3, dtype="float32")[np.arange(8) % 3]
    losses = model.fit(x, y, batch_size=8, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rho": 0}, "rho=0"),
        ({"rho": float("nan")}, "rho=nan"),
        ({"ascent": "all"}, "ascent='all'"),
        ({"ascent_share": 0}, "ascent_share=0"),
        ({"ascent_share": 1.1}, "ascent_share=1.1"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        SharpnessAware(**arguments)
