import json

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from keras_tricks.weights.safetensors_file import SafetensorsFile


def write(path, header, content=b""):
    """Write a file as the format's description says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)
    return path


def test_files_of_the_package_are_read(tmp_path):
    arrays = {
        "kernel": np.arange(24, dtype="float32").reshape(2, 3, 4),
        "half": np.linspace(-1, 1, 5, dtype="float16"),
        "count": np.array(7),
        "odd": np.array([True, False, True]),
        "double": np.array([[np.pi]]),
        "empty": np.zeros((0, 3), "float32"),
    }
    save_file(arrays, tmp_path / "model.safetensors", metadata={"format": "pt"})
    file = SafetensorsFile(str(tmp_path / "model.safetensors"))
    assert set(file) == set(arrays) and len(file) == len(arrays)
    for name, array in arrays.items():
        assert file[name].dtype == array.dtype
        np.testing.assert_array_equal(file[name], array)


def test_bfloat16_is_read(tmp_path):
    values = np.array([1.0, -2.5, 3e38, 1e-30], ml_dtypes.bfloat16)
    header = {"a": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}
    file = SafetensorsFile(write(tmp_path / "bf16.safetensors", header, values.tobytes()))
    np.testing.assert_array_equal(file["a"].astype("float32"), values.reshape(2, 2).astype("float32"))


@pytest.mark.parametrize(
    ("header", "content", "message"),
    [
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234567", "1 bytes are missing at its end"),
        ({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, b"12345678", "does not add up"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}}, b"12345678", "does not add up"),
        ({"a": {"dtype": "F3", "shape": [2], "data_offsets": [0, 8]}}, b"12345678", "KeyError: 'F3'"),
        (b"not json", b"", "its header cannot be read"),
        (b"[1, 2]", b"", "its header cannot be read"),
    ],
)
def test_broken_files_say_what_is_wrong(header, content, message, tmp_path):
    path = write(tmp_path / "broken.safetensors", header, content)
    with pytest.raises(ValueError, match=r"Expected a whole \.safetensors file.*broken.safetensors") as error:
        SafetensorsFile(path)
    assert message in str(error.value)


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 16])
def test_other_files_are_refused(content, tmp_path):
    (tmp_path / "other.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="are not the length of a header"):
        SafetensorsFile(tmp_path / "other.safetensors")
