"""The kinds of file that a model can be exported to: how each is written and run.

Importing this module imports neither Keras nor TensorFlow.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_tricks.runs import RunError
from keras_tricks.runs.schema import MODEL_FILE, RECIPE_FILE

Run = Callable[[Any], Any]
"""From an array of images to an array of outputs."""


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Args:
        suffix: What the names of such files end in; SavedModels are folders.
        packages: The packages needed beside the dependencies of keras-tricks.
        write: Writes a model to a path.
        open: Opens such a file and returns the function from images to outputs.
    """

    suffix: str
    packages: tuple[str, ...]
    write: Callable[[Any, Path], None]
    open: Callable[[Path], Run]


def _write_keras(model: Any, path: Path) -> None:
    model.save(path)


def _open_keras(path: Path) -> Run:
    import keras

    model = keras.models.load_model(path, compile=False)
    # Batches of one size are compiled once.
    return lambda images: model.predict(images, batch_size=1, verbose=0)


def _write_saved_model(model: Any, path: Path) -> None:
    model.export(path, format="tf_saved_model", verbose=False)


def _open_saved_model(path: Path) -> Run:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda images: loaded.serve(tf.constant(images)).numpy()


def _write_litert(model: Any, path: Path) -> None:
    import tensorflow as tf

    # Without TensorFlow's own operations, which most runtimes of LiteRT lack.
    builtins = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    model.export(path, format="litert", verbose=False, target_spec=builtins)


def _open_litert(path: Path) -> Run:
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(path))
    place = interpreter.get_input_details()[0]["index"]

    def run(images: Any) -> Any:
        interpreter.resize_tensor_input(place, images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(place, images)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return run


def _write_onnx(model: Any, path: Path) -> None:
    import keras
    import onnx

    # Without a signature Keras asks for a model that has been called.
    signature = [keras.InputSpec(dtype=value.dtype, shape=value.shape, name=value.name) for value in model.inputs]
    model.export(path, format="onnx", verbose=False, input_signature=signature)
    document = onnx.load(path)
    graph = document.graph
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    converted, name = graph.output[0].name, "outputs"
    for node in graph.node:
        node.output[:] = [name if output == converted else output for output in node.output]
        node.input[:] = [name if value == converted else value for value in node.input]
    graph.output[0].name = name
    onnx.save(document, path)


def _open_onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {session.get_inputs()[0].name: images})[0]


FORMATS = {
    "keras": Format(".keras", (), _write_keras, _open_keras),
    "saved_model": Format("", (), _write_saved_model, _open_saved_model),
    "litert": Format(".tflite", (), _write_litert, _open_litert),
    "onnx": Format(".onnx", ("tf2onnx", "onnx", "onnxruntime"), _write_onnx, _open_onnx),
}
"""The kinds of file that `export` writes, by name."""


SAVED_MODEL_NAMES = {"assets", "fingerprint.pb", "saved_model.pb", "variables"}
"""What Keras writes into a SavedModel."""


def check_target(path: Path, format: str, overwrite: bool = False) -> None:
    """Find what would keep `export` from writing, before anything is loaded.

    Raises:
        RunError: The arguments cannot be used here, or a package is missing.
    """
    if format not in FORMATS:
        raise RunError(f"Expected the format to be one of {', '.join(FORMATS)}. Received: {format}")
    kind = FORMATS[format]
    if path.suffix != kind.suffix and (kind.suffix or path.suffix in {other.suffix for other in FORMATS.values()}):
        ending = f"end in {kind.suffix}" if kind.suffix else "be that of a folder"
        raise RunError(f"Expected the name of a file in the format {format} to {ending}. Received: {path.name}")
    if path.exists() and not overwrite:
        raise RunError(f"{path} exists already. --force replaces it, --output takes another name.")
    if kind.suffix and path.is_dir():
        raise RunError(f"{path} is a folder. --output takes another name.")
    if not kind.suffix and path.exists() and not _is_saved_model(path):
        raise RunError(f"{path} is no SavedModel and is not replaced. --output takes another name.")
    if path.name == MODEL_FILE and (path.parent / RECIPE_FILE).exists():
        raise RunError(f"{path} is the run's own model. --output takes another name.")
    missing = [name for name in kind.packages if importlib.util.find_spec(name) is None]
    if missing:
        raise RunError(
            f"The format {format} needs the packages {', '.join(missing)}: pip install 'keras-tricks[export]'"
        )


def _is_saved_model(path: Path) -> bool:
    """Return whether a folder holds a SavedModel and nothing else."""
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    return "saved_model.pb" in names and names <= SAVED_MODEL_NAMES
