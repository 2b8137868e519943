"""UnreadableImages: say which images of a folder went bad, and give up when they are too many."""

from __future__ import annotations

import keras

from keras_tricks import data
from keras_tricks.data.image_folder import FileSplit
from keras_tricks.runs import RunWriter

_NAMED_FILES = 20


class UnreadableImagesError(ValueError):
    """Too many image files cannot be read."""


class UnreadableImages(keras.callbacks.Callback):
    """Count the image files that went bad after loading, name them, and end the training when they are too many.

    In the place of a file that cannot be read any more the input pipeline puts a blank image, so that the order of all
    others stays what it is. This callback makes a warning event of each of the first 20 such files of a split, and
    raises when there are both more than `share` of the split's images and at least `at_least`. Files are counted once,
    however often they are met, from the start of the process. Data sets that are no folder have nothing to count.

    Example:

    ```python
    photos = data.load("folder:photos")
    model.fit(batches, callbacks=[UnreadableImages(photos)])
    ```

    Args:
        data_set: The data set that is trained on.
        run: The run's writer, which gets the events. Defaults to None, no events.
        share: Share of a split's images that may be unreadable, in [0, 1]. Defaults to 0.01.
        at_least: Number of unreadable images below which nothing is raised, whatever their share. Defaults to 10.

    Raises:
        ValueError: `share` or `at_least` is out of range.
        UnreadableImagesError: In `fit`, when too many cannot be read.
    """

    def __init__(
        self, data_set: data.ImageDataSet, run: RunWriter | None = None, share: float = 0.01, at_least: int = 10
    ):
        super().__init__()
        if not 0 <= share <= 1:
            raise ValueError(f"Expected share to be in [0, 1]. Received: share={share}")
        if at_least < 1:
            raise ValueError(f"Expected at_least to be at least 1. Received: at_least={at_least}")
        self.run = run
        self.share = share
        self.at_least = at_least
        splits = {"training": data_set.train, "validation": data_set.validation}
        self._splits = {name: split for name, split in splits.items() if isinstance(split, FileSplit)}
        self._seen = dict.fromkeys(self._splits, 0)

    def on_train_batch_end(self, batch, logs=None):
        """Look for new ones."""
        self._look()

    def on_test_batch_end(self, batch, logs=None):
        """Look for new ones."""
        self._look()

    def on_epoch_end(self, epoch, logs=None):
        """Look for new ones before a checkpoint is written."""
        self._look()

    def _look(self) -> None:
        for name, split in self._splits.items():
            seen, count = self._seen[name], len(split.unreadable)
            if count == seen:
                continue
            self._seen[name] = count
            for number, path in enumerate(split.unreadable.paths(seen)[: count - seen], seen + 1):
                self._name(number, f"{path} cannot be read any more: a blank image stands in for it", name, split.size)
            if count >= self.at_least and count > self.share * split.size:
                raise UnreadableImagesError(
                    f"{count} of {split.size} {name} images cannot be read any more, {split.unreadable.paths()[0]} for "
                    "one. Put the files back and go on from the last checkpoint, or start a new run without them."
                )

    def _name(self, number: int, what: str, split: str, size: int) -> None:
        if self.run is None or number > _NAMED_FILES:
            return
        last = " Later ones are only counted." if number == _NAMED_FILES else ""
        self.run.event("warning", f"{what} ({number} of {size} {split} images).{last}")
