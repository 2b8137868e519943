"""DataPlan: how images become batches."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from keras_tricks import data

NF_MARGIN = 32
"""Pixels by which NFNets' squashed test images exceed the part that is cut out (Brock et al. 2021, appendix A)."""


@dataclass(frozen=True)
class DataPlan:
    """How images become batches: the value that the data stage of the tricks changes.

    Args:
        preprocessing: What happens to each image.
        batch_transforms: What happens to each training batch; of several that mix images, each batch gets one.
        image_transforms: What else happens to each training image: to its colours before the batch transforms,
            RandAugment after them.
        repeats: Differently augmented copies of each image in a training batch.
        test_preprocessing: What happens to each evaluation image, where that is of another size.
        image_sizes: Height and width of the training images in each epoch, in pixels; that of `preprocessing` if empty.
    """

    preprocessing: data.Preprocessing
    batch_transforms: tuple[Callable[..., Any], ...] = ()
    image_transforms: tuple[data.ColorTransform | data.RandAugment, ...] = ()
    repeats: int = 1
    test_preprocessing: data.Preprocessing | None = None
    image_sizes: tuple[int, ...] = ()

    def with_batch_transform(self, transform: Callable[..., Any]) -> DataPlan:
        """Return a plan with one more transform."""
        return replace(self, batch_transforms=(*self.batch_transforms, transform))

    def with_mixup(self, alpha: float, per_image: bool) -> DataPlan:
        """Return a plan that mixes images and their labels (see `data.MixUp`).

        Args:
            alpha: Parameter of the Beta distribution.
            per_image: Whether each image has a weight of its own, and not each batch.
        """
        return self.with_batch_transform(data.MixUp(alpha, per_image))

    def with_image_transform(self, transform: data.ColorTransform | data.RandAugment) -> DataPlan:
        """Return a plan with one more transform of the images."""
        return replace(self, image_transforms=(*self.image_transforms, transform))

    def with_repeats(self, repeats: int) -> DataPlan:
        """Return a plan with so many copies of each image in a training batch."""
        return replace(self, repeats=repeats)

    def with_image_sizes(self, image_sizes: tuple[int, ...]) -> DataPlan:
        """Return a plan whose training images have a size for each epoch."""
        return replace(self, image_sizes=image_sizes)

    def with_random_area(self, **arguments: Any) -> DataPlan:
        """Return a plan that trains on random parts of the images (see `data.ImageNetPreprocessing`).

        Args:
            arguments: `area`, `aspect` and `interpolation` of the parts.
        """
        old = self.preprocessing
        if isinstance(old, data.ImageNetPreprocessing):
            return replace(self, preprocessing=replace(old, **arguments))
        new = data.ImageNetPreprocessing(
            image_size=old.image_size, flip=old.flip, mean=old.mean, std=old.std, **arguments
        )
        return replace(self, preprocessing=new, test_preprocessing=self.evaluation)

    def with_test_images(self, image_size: int, squash: bool) -> DataPlan:
        """Return a plan whose evaluation images have another size.

        Args:
            image_size: Their height and width in pixels.
            squash: Whether they are cut out of the squashed image (see `data.ImageNetPreprocessing`), where the style
                of the data set has such a view.
        """
        changes: dict[str, Any] = {"image_size": image_size}
        if squash and isinstance(self.evaluation, data.ImageNetPreprocessing):
            changes |= {"squash": True, "resize_short": image_size + NF_MARGIN}
        return replace(self, test_preprocessing=replace(self.evaluation, **changes))

    @property
    def evaluation(self) -> data.Preprocessing:
        """What happens to each evaluation image."""
        return self.test_preprocessing or self.preprocessing

    def training_batches(self, data_set: data.ImageDataSet, batch_size: int, seed: int, **stream: Any) -> Any:
        """Return training batches, a `tf.data.Dataset`.

        Args:
            data_set: The data set.
            batch_size: Images in a batch, over all replicas.
            seed: Seed of the stream.
            stream: Where it begins and ends, and of which part of the batches it is; see `data.training_batches`.
        """
        batches = data.training_batches
        if self.image_sizes:
            batches = functools.partial(data.growing_batches, image_sizes=self.image_sizes)
        return batches(
            data_set,
            self.preprocessing,
            batch_size,
            seed,
            batch_transforms=self.batch_transforms,
            image_transforms=self.image_transforms,
            repeats=self.repeats,
            **stream,
        )

    def evaluation_batches(self, data_set: data.ImageDataSet, batch_size: int) -> Any:
        """Return each validation image once, a `tf.data.Dataset`; see `data.evaluation_batches`."""
        return data.evaluation_batches(data_set, self.evaluation, batch_size)
