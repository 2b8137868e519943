"""Read the arrays of a file of Haiku's parameters without running anything that is in it."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_ARRAYS = {
    (f"{package}.{module}", name): function
    # The package's name before version 2 of NumPy, and since.
    for package in ("numpy.core", "numpy._core")
    for module, name, function in (
        ("multiarray", "_reconstruct", np.empty(0).__reduce__()[0]),
        ("multiarray", "scalar", np.float32(0).__reduce__()[0]),
        ("numeric", "_frombuffer", np.empty(0).__reduce_ex__(5)[0]),
    )
}
"""What NumPy makes arrays with that were pickled."""

_HAIKU_MAPPINGS = ("FlatMapping", "FlatMap", "frozendict")


def read_haiku_file(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file of Haiku's parameters, by `module/parameter`.

    Two kinds of file are read: a pickle of `{module: {parameter: array}}`, which is what DeepMind publishes
    under the ending `.npz`, and a true `.npz` file of NumPy with the arrays under `module/parameter`.

    A pickle may run any code when it is read as usual. Here only arrays, dictionaries and numbers are made
    from it; one that asks for anything else is refused.

    Args:
        path: The file.

    Raises:
        ValueError: If the file is of another kind, or holds anything but arrays in dictionaries.
    """
    path = Path(path)
    try:
        if zipfile.is_zipfile(path):
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        with path.open("rb") as file:
            content = _ArraysOnly(file).load()
    except (
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        EOFError,
        AttributeError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(
            "Expected a pickle of {module: {parameter: array}}, as DeepMind publishes, or a .npz file of NumPy. "
            f"Received: source={str(path)!r}, which cannot be read: {error}"
        ) from error
    arrays = dict(_flat(content))
    others = [name or "its top" for name, value in arrays.items() if not isinstance(value, np.ndarray | np.generic)]
    if others:
        raise ValueError(
            "Expected a dictionary of dictionaries of arrays. "
            f"Received: source={str(path)!r}, with something else at {', '.join(others)}"
        )
    return {name: np.asarray(value) for name, value in arrays.items()}


def _flat(content: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what is at the ends of nested mappings, and the way there."""
    if not isinstance(content, Mapping):
        yield name, content
        return
    for key, value in content.items():
        yield from _flat(value, f"{name}/{key}" if name else str(key))


def _array_of_dill(function: Any, arguments: Any, state: Any, *others: Any) -> np.ndarray:
    """Make an array as `dill` does, which calls NumPy's function itself."""
    array = function(*arguments)
    array.__setstate__(state)
    return array


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that knows how to make arrays and dictionaries, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what `module.name` stands for, if it is one of the few harmless things."""
        if (module, name) in _ARRAYS:
            return _ARRAYS[module, name]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if (module, name) == ("dill._dill", "_create_array"):
            return _array_of_dill
        if (module, name) == ("collections", "OrderedDict") or (
            module == "haiku._src.data_structures" and name in _HAIKU_MAPPINGS
        ):
            return dict
        if (module, name) == ("_codecs", "encode"):
            return _encode
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array")


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Return bytes from text, as old pickles hold them."""
    return text.encode("latin1")
