"""Training on two and four replicas gives what one device gives, alone and with each trick that could differ."""

import keras
import numpy as np
import pytest

from keras_tricks.callbacks import WeightAveraging
from keras_tricks.optimizers import NO_BIAS_DECAY, SGD, AdaptiveGradientClipping, GradientClipping
from keras_tricks.schedules import Warmup

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="replicas are TensorFlow's")

STEPS, BATCH = 10, 16
TOLERANCE = {"float32": 1e-6, "mixed_float16": 1e-3}
RATE = 0.02
"""Moves the weights by 0.1 in all. At 0.1 a CPU that adds up in float16 parts from float32 by 2.6e-3 on one device."""


def network(batch_norm=False):
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    if batch_norm:
        x = keras.layers.BatchNormalization(synchronized=True, name="norm")(x)
    x = keras.layers.Activation("tanh")(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="predictions", dtype="float32")(x))


def batches(size=BATCH, images=BATCH * STEPS):
    import tensorflow as tf

    generator = np.random.default_rng(5)
    x = generator.normal(size=(images, 6, 6, 2)).astype("float32")
    # Each part of a batch is on another scale: what acts on each replica's own gradient shows.
    x *= np.resize([4.0, 1.0, 0.3, 2.0], images)[np.argsort(np.arange(images) % size, kind="stable").argsort() % 4][
        :, None, None, None
    ]
    y = np.eye(3, dtype="float32")[generator.integers(0, 3, images)]
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(size)


def teacher(x, y, y_pred):
    """Be an extra loss of the kind of distillation: a function of inputs and predictions, for each example."""
    target = keras.ops.softmax(keras.ops.mean(x, axis=(1, 2, 3))[:, None] * keras.ops.convert_to_tensor([1.0, 2, 3]))
    return keras.losses.categorical_crossentropy(target, y_pred, from_logits=True)


def sgd():
    return SGD(Warmup(RATE, 4), weight_decay=1e-2, no_decay=NO_BIAS_DECAY)


SMOOTHED = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)


def of(optimizer=sgd, **options):
    return {"optimizer": optimizer, **options}


CASES = {
    "sgd": of(),
    "agc_sgd": of(lambda: AdaptiveGradientClipping(sgd(), clipping=0.02)),
    "agc_adamw": of(lambda: AdaptiveGradientClipping(keras.optimizers.AdamW(1e-3, weight_decay=0.1), clipping=0.02)),
    "global_norm": of(lambda: GradientClipping(sgd(), max_norm=0.1)),
    "global_norm_agc": of(lambda: GradientClipping(AdaptiveGradientClipping(sgd(), clipping=0.05), max_norm=0.3)),
    "extra_loss": of(extra_losses=(teacher,)),
    "accumulation": of(accumulation_steps=2),
    "batch_norm": of(batch_norm=True),
    "sam": of(sam="reduced"),
    "sam_batch_norm": of(sam="reduced", batch_norm=True),
    "sam_accumulation": of(sam="reduced", accumulation_steps=2),
    "sam_of_a_part_batch_norm": of(sam="reduced", ascent_share=0.25, batch_norm=True),
    "sam_of_a_part_accumulation": of(sam="reduced", ascent_share=0.5, accumulation_steps=2, extra_losses=(teacher,)),
    "steps_per_execution": of(steps_per_execution=5),
    "averaging": of(averaging=True),
    "all": of(
        lambda: AdaptiveGradientClipping(sgd(), clipping=0.02),
        extra_losses=(teacher,),
        accumulation_steps=2,
        sam="reduced",
        averaging=True,
    ),
}


def train(
    optimizer,
    *,
    sam=None,
    ascent_share=1.0,
    batch_norm=False,
    averaging=False,
    steps_per_execution=1,
    policy="float32",
    data=None,
    loss=SMOOTHED,
    **options,
):
    from keras_tricks.distribute import ReplicaModel, SharpnessAware

    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(5)
    if sam:
        options["gradient_method"] = SharpnessAware(ascent=sam, ascent_share=ascent_share)
    model = ReplicaModel.of(network(batch_norm), **options)
    model.compile(optimizer(), loss, metrics=["accuracy"], steps_per_execution=steps_per_execution)
    callbacks = [WeightAveraging(0.9)] if averaging else []
    history = model.fit(batches() if data is None else data, shuffle=False, verbose=0, callbacks=callbacks)
    return model, history.history


@pytest.fixture(scope="module")
def one_device():
    """Results on one device, each trained once."""
    results = {}

    def result(case, policy):
        if (case, policy) not in results:
            results[case, policy] = train(**CASES[case], policy=policy)
        return results[case, policy]

    return result


def assert_equal(one, many, strategy, tolerance):
    (single, logs), (mirrored, mirrored_logs) = one, many
    for ours, theirs in zip(single.weights, mirrored.weights, strict=True):
        np.testing.assert_allclose(theirs.numpy(), ours.numpy(), rtol=0, atol=tolerance, err_msg=ours.path)
        copies = [copy.numpy() for copy in strategy.experimental_local_results(theirs.value)]
        for copy in copies[1:]:
            np.testing.assert_allclose(copy, copies[0], rtol=0, atol=tolerance / 10, err_msg=ours.path)
    np.testing.assert_allclose(mirrored_logs["loss"], logs["loss"], rtol=tolerance * 10)
    np.testing.assert_allclose(mirrored_logs["accuracy"], logs["accuracy"], atol=tolerance * 10)
    assert int(mirrored.optimizer.iterations.numpy()) == int(single.optimizer.iterations.numpy())


QUICK = {
    "float32": CASES.keys()
    - {"agc_sgd", "global_norm", "extra_loss", "sam", "sam_accumulation", "sam_of_a_part_batch_norm"},
    "mixed_float16": {"sgd", "batch_norm", "all"},
}
"""The cases that are not slow; the others are made of what these have."""


@pytest.mark.parametrize(
    ("case", "policy"),
    [
        pytest.param(case, policy, marks=[] if case in QUICK[policy] else [pytest.mark.slow])
        for case in CASES
        for policy in TOLERANCE
    ],
)
def test_two_replicas(two_replicas, one_device, case, policy):
    with two_replicas.scope():
        many = train(**CASES[case], policy=policy)
    assert_equal(one_device(case, policy), many, two_replicas, TOLERANCE[policy])


@pytest.mark.parametrize(
    ("case", "policy"),
    [
        ("all", "float32"),
        ("batch_norm", "mixed_float16"),
        pytest.param("sgd", "float32", marks=pytest.mark.slow),
        pytest.param("sgd", "mixed_float16", marks=pytest.mark.slow),
        pytest.param("all", "mixed_float16", marks=pytest.mark.slow),
        pytest.param("batch_norm", "float32", marks=pytest.mark.slow),
    ],
)
def test_four_replicas(four_replicas, one_device, case, policy):
    with four_replicas.scope():
        many = train(**CASES[case], policy=policy)
    assert_equal(one_device(case, policy), many, four_replicas, TOLERANCE[policy])
