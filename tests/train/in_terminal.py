"""Run a command of keras-tricks as in a terminal."""

import pytest

from keras_tricks.cli import main


def command(*words):
    """Run it, and require that it ends well."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code == 0
