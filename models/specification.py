"""Serializable specification from which another process can build a network."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from models.build import build
from models.config import ModelConfig

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class NetworkSpec:
    """A network as its configuration, or as a file if only the driver can build it."""

    config: ModelConfig
    #: Height, width, channels.
    image_shape: tuple[int, int, int]
    classes: int
    #: NumPy dtype of the input: pixels or features.
    dtype: Literal["uint8", "float32"] = "uint8"
    #: Content of a ``.keras`` file with initial weights, for a trainable backbone: it comes from a
    #: file or a download to which executors have no access.
    archive: bytes | None = None

    def build(self, seed: int) -> "keras.Model":
        """Return the uncompiled model with its initial weights.

        Raises
        ------
        ModelError
            As :func:`models.build`.
        """
        if self.archive is None:
            return build(self.config, self.image_shape, self.classes, seed)
        import keras

        with tempfile.TemporaryDirectory(prefix=_prefix()) as folder:
            path = Path(folder) / "network.keras"
            path.write_bytes(self.archive)
            return keras.models.load_model(path, compile=False, safe_mode=True)


def archive(model: "keras.Model") -> bytes:
    """Return the content of a ``.keras`` file of ``model``."""
    with tempfile.TemporaryDirectory(prefix=_prefix()) as folder:
        path = Path(folder) / "network.keras"
        model.save(path)
        return path.read_bytes()


def _prefix() -> str:
    """Return the name prefix of this process's temporary folders (``data.own_folders``)."""
    return f"sparkdl-network-{os.getpid()}-"
