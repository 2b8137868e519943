"""What a user sets once: the folder for it, and the preferences of the terminal UI."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keras_tricks.runs.storage import write_atomically

PREFERENCES_FILE = "preferences.json"


class ConfigError(Exception):
    """The user's settings cannot be read or written; the message says why and what to do."""


def config_directory() -> Path:
    """Return the folder of the user's own recipes and preferences: `$KERAS_TRICKS_CONFIG`, else the system's usual one.

    It need not exist yet.
    """
    named = os.environ.get("KERAS_TRICKS_CONFIG")
    return Path(named).expanduser() if named else platformdirs.user_config_path("keras-tricks")


class Preferences(BaseModel):
    """What the terminal UI remembers from one time to the next; keys that it does not know are kept.

    Args:
        theme: Name of a theme of the terminal UI; None for our own.
        keys: The user's own keys by the id of the binding, as `{"live.zoom": "f8"}`; the help (`?`) lists the ids.
        refresh_s: Seconds between two looks at the runs; None for one, or two over SSH.
        columns: Keys of the columns of the list of runs, in order; None for those that fit.
        charts: Metrics that the live mode charts, in order; None for the usual ones.
        x_axis: What x counts in the live mode: `epoch`, `time` or `step`.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    theme: str | None = None
    keys: dict[str, str] = Field(default_factory=dict)
    refresh_s: float | None = Field(default=None, gt=0, le=60)
    columns: tuple[str, ...] | None = None
    charts: tuple[str, ...] | None = None
    x_axis: Literal["epoch", "time", "step"] = "epoch"

    @classmethod
    def load(cls) -> Preferences:
        """Read the preferences; without a file, the default ones.

        Raises:
            ConfigError: The file cannot be read, or says what it may not.
        """
        path = config_directory() / PREFERENCES_FILE
        try:
            return cls.model_validate(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return cls()
        except ValidationError as error:
            detail = error.errors()[0]
            where = ".".join(map(str, detail["loc"]))
            raise ConfigError(
                f"{path}: {where}: {detail['msg']}. Received: {detail['input']!r}. Mend it, or remove the file."
            ) from error
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read: {error}. Mend it, or remove it.") from error

    def changed(self, **values: object) -> Preferences:
        """Return a copy with these values replaced, validated."""
        return type(self).model_validate({**self.model_dump(), **values})

    def save(self) -> None:
        """Write the preferences.

        Raises:
            ConfigError: The folder cannot be written.
        """
        path = config_directory() / PREFERENCES_FILE
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(self.model_dump(exclude_none=True), indent=2) + "\n")
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror or error}.") from error
