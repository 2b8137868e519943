"""Find a data set that TensorFlow Datasets has prepared on this machine, and the files of its splits."""

import re
from pathlib import Path

import tensorflow_datasets as tfds

from keras_tricks.data.image_data_set import DataNotFound
from keras_tricks.data_facts import did_you_mean, split_tfds_name

_VERSION = re.compile(r"\d+\.\d+\.\d+")
_CATALOGUE = "https://www.tensorflow.org/datasets/catalog"


def _not_found(name: str, root: Path) -> DataNotFound:
    base = split_tfds_name(name)[0]
    registered = tuple(tfds.list_builders(with_community_datasets=False))
    if base not in registered:
        return DataNotFound(
            f"There is no data set {base!r} in TensorFlow Datasets, and none is prepared under "
            f"{root}.{did_you_mean(base, registered)}"
        )
    by_hand = ""
    if tfds.builder_cls(base).MANUAL_DOWNLOAD_INSTRUCTIONS:
        by_hand = f" after downloading its files by hand ({_CATALOGUE}/{base})"
    return DataNotFound(
        f"{name} is not prepared under {root}. "
        f"Prepare it with `tfds build {name} --data_dir {root}`{by_hand}, or name another data_dir."
    )


def _newest_version(folder: Path, version: str | None) -> Path | None:
    prepared = [
        path
        for path in folder.glob("*.*.*")
        if _VERSION.fullmatch(path.name) and version in (None, path.name) and (path / "dataset_info.json").is_file()
    ]
    return max(prepared, key=lambda path: [int(part) for part in path.name.split(".")], default=None)


def prepared_directory(name: str, data_dir: str | Path | None) -> Path:
    """Return the directory of a prepared data set; only the local disk is looked at.

    Args:
        name: TensorFlow Datasets name, with or without configuration and version.
        data_dir: Where prepared data sets lie; None takes the default of TensorFlow Datasets.

    Raises:
        DataNotFound: If the data set is not prepared there.
        ValueError: If several configurations are prepared and none is named.
    """
    root = Path(tfds.core.constants.DATA_DIR if data_dir is None else data_dir).expanduser()
    base, config, version = split_tfds_name(name)
    folder = root / base / config if config else root / base
    found = _newest_version(folder, version)
    if found or config:
        candidates = [found] if found else []
    else:
        folders = sorted(path for path in folder.glob("*") if path.is_dir())
        candidates = [path for path in (_newest_version(f, version) for f in folders) if path]
    if not candidates:
        raise _not_found(name, root)
    if len(candidates) > 1:
        names = ", ".join(f"{base}/{path.parent.name}" for path in candidates)
        raise ValueError(f"{base} is prepared in several configurations, name one: {names}.")
    return candidates[0]


def open_prepared(name: str, data_dir: str | Path | None) -> tfds.core.DatasetBuilder:
    """Return the builder of a prepared data set; nothing is downloaded and no network is touched.

    Args:
        name: TensorFlow Datasets name, with or without configuration and version.
        data_dir: Where prepared data sets lie; None takes the default of TensorFlow Datasets.

    Raises:
        DataNotFound: If the data set is not prepared there.
        ValueError: If it cannot be opened, or several configurations are prepared and none is named.
    """
    directory = prepared_directory(name, data_dir)
    try:
        builder = tfds.builder_from_directory(directory)
        _ = builder.info.splits
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"The data set in {directory} cannot be opened: {reason}") from error
    return builder


def split_files(
    name: str, builder: tfds.core.DatasetBuilder, split: str
) -> tuple[tuple[str, ...], tuple[int, ...], int]:
    """Return the TFRecord files of a split, the number of records in each, and the size of all in bytes.

    Args:
        name: Name of the data set, for messages.
        builder: Its builder.
        split: The split, or several with `+` between them.

    Raises:
        DataNotFound: If files are missing.
        ValueError: If there is no such split, or the files are no TFRecords.
    """
    if builder.info.file_format != tfds.core.FileFormat.TFRECORD:
        raise ValueError(
            f"{name} is prepared as {builder.info.file_format.value}; expected tfrecord: prepare "
            f"it again with `tfds build {name} --file_format tfrecord`."
        )
    paths, lengths, size = [], [], 0
    for part in split.split("+"):
        if part not in builder.info.splits:
            raise ValueError(f"{name} has no split {part!r}, only {', '.join(builder.info.splits)}.")
        info = builder.info.splits[part]
        paths += [str(path) for path in info.filepaths]
        lengths += info.shard_lengths
        size += int(info.num_bytes)
    missing = [path for path in paths if not Path(path).is_file()]
    if missing:
        raise DataNotFound(
            f"{name} is incomplete: {len(missing)} of {len(paths)} files of its {split} split are "
            f"missing, the first is {missing[0]}."
        )
    return tuple(paths), tuple(lengths), size
