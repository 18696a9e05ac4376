"""Isolation of Keras from the settings in a user's ``keras.json``.

``~/.keras/keras.json`` determines the float type, the order of the image axes and the epsilon of
every network that Keras builds. The networks of this project are float32 with channels last, so a
file with other settings is ignored; downloaded weights next to it are still used.
"""

import atexit
import json
import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import lru_cache
from pathlib import Path

from data.own_folders import temporary_folder

#: Settings with which the project's networks are built; they are Keras's own defaults.
SETTINGS = {"floatx": "float32", "epsilon": 1e-07, "image_data_format": "channels_last"}
_NAME = "keras.json"
#: Where Keras keeps downloaded weights.
_WEIGHTS = "models"


def clean(environment: Mapping[str, str]) -> str | None:
    """Return a folder for ``KERAS_HOME``, or None if Keras's own choice has the right settings."""
    home = _taken(environment)
    if home is None:
        return _own(None)
    return _own(home) if _differs(home / _NAME) else None


def overridden(environment: Mapping[str, str]) -> str | None:
    """Return the path of the ``keras.json`` that is ignored, or None."""
    home = _taken(environment)
    return str(home / _NAME) if home is not None and _differs(home / _NAME) else None


def _taken(environment: Mapping[str, str]) -> Path | None:
    """Return the folder that Keras would use, or None if it would use a shared one."""
    if "KERAS_HOME" in environment:
        return Path(environment["KERAS_HOME"]).expanduser()
    try:
        user = Path.home()
    except RuntimeError:  # an account without a name or a folder
        return None
    # Keras would fall back to /tmp/.keras, in which every user of the machine can put settings.
    return user / ".keras" if os.access(user, os.W_OK) else None


def _differs(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        found = json.loads(path.read_text())
        # The backend in the file is irrelevant, because KERAS_BACKEND takes precedence.
        return bool(found.get("nnx_enabled")) or any(
            found.get(name, value) != value for name, value in SETTINGS.items()
        )
    except (OSError, ValueError, AttributeError):
        return True


@lru_cache
def _own(home: Path | None) -> str:
    """Create a folder with the project's settings, which is removed when this process ends.

    Weights stay in ``home``. If ``home`` is not writable, downloaded weights are lost when this
    process ends.
    """
    process = ExitStack()
    folder = process.enter_context(temporary_folder("keras"))
    atexit.register(process.close)
    (folder / _NAME).write_text(json.dumps(SETTINGS))
    if home is not None:
        with suppress(OSError):
            (home / _WEIGHTS).mkdir(parents=True, exist_ok=True)
            (folder / _WEIGHTS).symlink_to((home / _WEIGHTS).absolute())
    return str(folder)
