import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_tricks.data import CutMix, Halves, MixUp, OneOf
from keras_tricks.data.mixing import mixes_pairs_alike, one_mixing_an_image, random_box, sample_symmetric_beta

CLASSES = 5
MIXINGS = {
    "mixup": MixUp(0.4),
    "mixup per image": MixUp(0.4, per_image=True),
    "cutmix": CutMix(1.0),
    "cutmix per image": CutMix(1.0, per_image=True),
    "one of": OneOf((MixUp(0.4), CutMix(1.0))),
    "halves": Halves(MixUp(0.4), CutMix(1.0, per_image=True)),
}


def batch(size=6, height=8, width=10):
    random = np.random.default_rng(size)
    images = random.normal(size=(size, height, width, 3)).astype(np.float32)
    labels = np.eye(CLASSES, dtype=np.float32)[random.integers(0, CLASSES, size)]
    return tf.constant(images), tf.constant(labels)


def share_of_labels(labels, mixed, index):
    """The lambda that gave `mixed[index]`, from a label whose partner has another class."""
    return float(mixed[index][np.argmax(labels[index])])


def batch_of_two():
    images, _ = batch(2)
    return images, tf.constant(np.eye(CLASSES, dtype=np.float32)[:2])


@pytest.mark.parametrize("mixing", [MixUp(0.4), MixUp(0.4, per_image=True)], ids=["batch", "image"])
def test_mixup_is_the_published_formula(mixing):
    images, labels = (tensor.numpy() for tensor in batch_of_two())
    for step in range(20):
        mixed_images, mixed_labels = mixing(*batch_of_two(), (7, step))
        shares = [share_of_labels(labels, mixed_labels, index) for index in range(2)]
        assert (shares[0] == pytest.approx(shares[1])) is not mixing.per_image
        for index, share in enumerate(shares):
            expected = share * images[index] + (1 - share) * images[1 - index]
            np.testing.assert_allclose(mixed_images[index], expected, atol=1e-5)


def test_cutmix_replaces_one_box_and_its_share_of_the_labels():
    images, labels = (tensor.numpy() for tensor in batch_of_two())
    areas = set()
    for step in range(40):
        mixed, mixed_labels = (tensor.numpy() for tensor in CutMix(1.0)(*batch_of_two(), (3, step)))
        replaced = np.all(mixed[0] == images[1], axis=-1)
        np.testing.assert_array_equal(mixed[0][~replaced], images[0][~replaced])
        np.testing.assert_array_equal(np.all(mixed[1] == images[0], axis=-1), replaced)
        rows, columns = np.flatnonzero(replaced.any(1)), np.flatnonzero(replaced.any(0))
        assert replaced.sum() == len(rows) * len(columns)
        if replaced.any():
            assert rows[-1] - rows[0] + 1 == len(rows) and columns[-1] - columns[0] + 1 == len(columns)
        assert share_of_labels(labels, mixed_labels, 0) == pytest.approx(1 - replaced.mean(), abs=1e-6)
        areas.add(int(replaced.sum()))
    assert len(areas) > 10


@settings(deadline=None)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    share=st.floats(0, 1, width=32),
    place=st.tuples(*[st.floats(0, 1, exclude_max=True, width=32)] * 2),
)
def test_box_is_the_one_of_the_paper(height, width, share, place):
    root = np.sqrt(np.float32(share))
    centre = [int(np.float32(place[0]) * np.float32(height)), int(np.float32(place[1]) * np.float32(width))]
    half = [int(np.float32(side) * root) // 2 for side in (height, width)]
    low = [max(c - h, 0) for c, h in zip(centre, half, strict=True)]
    high = [min(c + h, side) for c, h, side in zip(centre, half, (height, width), strict=True)]
    box = random_box(height, width, tf.constant(share, tf.float32), tf.constant(place, tf.float32))
    assert box.numpy().tolist() == low + high


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_beta_samples_have_the_moments_of_beta(alpha):
    samples = sample_symmetric_beta([50_000], alpha, (1, 2)).numpy()
    assert abs(samples.mean() - 0.5) < 0.01
    assert abs(samples.var() - 1 / (4 * (2 * alpha + 1))) < 0.005
    fourth = np.mean((samples - 0.5) ** 4)
    exact = 3 / (16 * (2 * alpha + 1) * (2 * alpha + 3))
    assert abs(fourth - exact) < 0.002


@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 0.02, 50.0])
def test_beta_samples_are_finite_for_every_alpha(alpha):
    samples = sample_symmetric_beta([20_000], alpha, (0, 0)).numpy()
    assert np.isfinite(samples).all() and samples.min() >= 0 and samples.max() <= 1
    assert abs(samples.mean() - 0.5) < 0.02


@pytest.mark.parametrize("mixing", MIXINGS.values(), ids=MIXINGS)
@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 7), seed=st.tuples(st.integers(0, 2**40), st.integers(0, 2**40)))
def test_labels_stay_distributions_and_shapes_stay(mixing, size, seed):
    images, labels = batch(size)
    mixed_images, mixed_labels = mixing(images, labels, tf.constant(seed, tf.int64))
    assert mixed_images.shape == images.shape and mixed_labels.shape == labels.shape
    assert np.isfinite(mixed_images).all()
    assert np.min(mixed_labels) >= 0
    np.testing.assert_allclose(np.sum(mixed_labels, axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("mixing", MIXINGS.values(), ids=MIXINGS)
def test_the_seed_decides(mixing):
    first, again, other = (mixing(*batch(), (1, step))[0].numpy() for step in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("mixing", [MixUp(0), MixUp(0, per_image=True), CutMix(0), CutMix(0, per_image=True)])
def test_zero_strength_changes_nothing(mixing):
    images, labels = batch()
    mixed_images, mixed_labels = mixing(images, labels, (0, 0))
    np.testing.assert_array_equal(mixed_images, images)
    np.testing.assert_array_equal(mixed_labels, labels)


def test_mean_label_of_mixup_is_half_of_each():
    labels = batch_of_two()[1].numpy()
    shares = [share_of_labels(labels, MixUp(0.2)(*batch_of_two(), (0, step))[1], 0) for step in range(200)]
    assert abs(np.mean(shares) - 0.5) < 0.1


def test_one_of_applies_exactly_one_and_each_half_of_the_time():
    mixup, cutmix = MixUp(1.0), CutMix(1.0)
    either = tf.function(OneOf((mixup, cutmix)))
    images, labels = batch_of_two()
    cut = 0
    for step in range(200):
        mixed = either(images, labels, tf.constant((9, step)))[0].numpy()
        from_one = np.all((mixed[0] == images[0]) | (mixed[0] == images[1]), axis=-1)
        cut += from_one.all()
        assert from_one.all() or not from_one.any()
    assert 70 < cut < 130


def test_several_mixings_of_a_batch_become_one_choice():
    mixup, cutmix = MixUp(), CutMix()

    def other(images, labels, seed):
        return images, labels

    assert one_mixing_an_image((mixup, other)) == (mixup, other)
    assert one_mixing_an_image((mixup, other, cutmix)) == (other, OneOf((mixup, cutmix)))


@pytest.mark.parametrize("alpha", [-0.1, float("inf"), float("nan")])
@pytest.mark.parametrize("kind", [MixUp, CutMix])
def test_impossible_alpha(kind, alpha):
    with pytest.raises(ValueError, match="Received: alpha="):
        kind(alpha)


def test_one_of_nothing():
    with pytest.raises(ValueError, match=r"Received: transforms=\(\)"):
        OneOf(())


class TestHalves:
    halves = Halves(MixUp(0.4, per_image=True), CutMix(1.0, per_image=True))

    @pytest.mark.parametrize("size", [8, 7, 2])
    def test_one_half_is_mixed_and_the_other_cut(self, size):
        images, labels = batch(size)
        mixed, mixed_labels = self.halves(images, labels, (3, 4))
        half = size // 2
        for index in range(size):
            start, stop = (0, half) if index < half else (half, size)
            partner = start + stop - 1 - index
            own, other, got = images[index].numpy(), images[partner].numpy(), mixed[index].numpy()
            if index < half:
                share = np.linalg.lstsq((own - other).reshape(-1, 1), (got - other).ravel())[0][0]
                np.testing.assert_allclose(got, share * own + (1 - share) * other, atol=1e-4)
            else:
                replaced = np.all(got == other, axis=-1)
                np.testing.assert_array_equal(got[~replaced], own[~replaced])
                share = 1 - replaced.mean()
            if partner != index:
                expected = share * labels[index] + (1 - share) * labels[partner]
                np.testing.assert_allclose(mixed_labels[index], expected, atol=1e-4)

    def test_each_image_has_a_weight_or_a_box_of_its_own(self):
        random = np.random.default_rng(0).normal(size=(16, 8, 8, 3)).astype(np.float32)
        _, labels = self.halves(tf.constant(random), tf.eye(16), (1, 2))
        own = np.diag(labels)
        assert len(np.unique(np.round(own[:8], 5))) == 8
        assert len(np.unique(np.round(own[8:], 5))) > 4

    def test_zero_strength_changes_nothing(self):
        images, labels = batch()
        mixed, mixed_labels = Halves(MixUp(0), CutMix(0))(images, labels, (0, 0))
        np.testing.assert_array_equal(mixed, images)
        np.testing.assert_array_equal(mixed_labels, labels)

    def test_mixup_and_a_cutmix_for_halves_become_halves(self):
        mixup, cutmix = MixUp(), CutMix(beside_mixup="halves")
        assert one_mixing_an_image((mixup, cutmix)) == (Halves(mixup, cutmix),)
        assert one_mixing_an_image((cutmix,)) == (cutmix,)

    def test_halves_are_not_shared_out_to_workers(self):
        assert not mixes_pairs_alike((MixUp(), CutMix(beside_mixup="halves")))
        assert not mixes_pairs_alike((CutMix(per_image=True),))
        assert mixes_pairs_alike((CutMix(beside_mixup="halves"),))


def test_an_unknown_place_beside_mixup():
    with pytest.raises(ValueError, match="Received: beside_mixup='both'"):
        CutMix(beside_mixup="both")
