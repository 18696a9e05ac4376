"""Choice of the inference engine of a backbone: the fastest whose features agree with Keras's.

ResNet50 at 224 x 224, random weights, one thread of an AMD EPYC with AVX-512 BF16 and without
AMX, images per CPU second: Keras ``predict`` 21.8, its traced function 22.7, OpenVINO float32 29,
OpenVINO bfloat16 58 (relative error of the features 2.9e-3); batches of one or 32 images made no
difference. The order of preference is therefore OpenVINO, Keras. They compute in float32, so that
features, and with them the recorded probabilities, are the same on every processor and in a served
model; bfloat16 must be requested.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from backends.errors import BackendError
from backends.featurizer import programs
from backends.featurizer.programs import EngineName, Program
from models.backbones import Backbone, build_backbone
from models.config import BackboneConfig
from models.openvino_form import Precision

#: ``auto``: OpenVINO, or Keras if OpenVINO cannot be used; ``bfloat16``: OpenVINO in bfloat16 on
#: processors that support it, which is up to twice as fast and less exact.
EngineChoice = Literal["auto", "keras", "openvino", "bfloat16"]
#: Largest allowed relative error of features compared with Keras in float32.
TOLERANCE = 1e-2
#: Number of images on which an engine is compared with Keras.
_COMPARED = 4


@dataclass(frozen=True)
class Candidate:
    """An engine with a precision."""

    engine: EngineName
    precision: Precision

    def key(self, backbone: Backbone) -> str:
        """Return the key of the program of ``backbone`` for this candidate."""
        return programs.program_key(backbone.digest, self.engine, self.precision)

    def __str__(self) -> str:
        return f"{self.engine} in {self.precision}"


@dataclass(frozen=True)
class Choice:
    """The chosen program and the reasons."""

    program: Program
    #: Relative error of its features compared with Keras in float32.
    error: float
    #: One sentence for each faster candidate that was not used.
    notes: tuple[str, ...]


def candidates(engine: EngineChoice) -> tuple[Candidate, ...]:
    """Return the candidates that ``engine`` allows on this machine, the fastest first.

    Raises
    ------
    BackendError
        If OpenVINO is requested but not installed.
    """
    keras, openvino = Candidate("keras", "float32"), Candidate("openvino", "float32")
    if engine == "keras":
        return (keras,)
    try:
        fastest = programs.openvino_precision()
    except BackendError:
        if engine != "auto":
            raise
        return (keras,)
    if engine == "bfloat16":
        return tuple(dict.fromkeys((Candidate("openvino", fastest), openvino)))
    return (openvino, keras) if engine == "auto" else (openvino,)


def choose(backbone: Backbone, engine: EngineChoice) -> Choice:
    """Return the fastest program whose features agree with Keras's.

    Raises
    ------
    BackendError
        If no candidate that ``engine`` allows can be used.
    """
    notes: list[str] = []
    pixels = _noise(backbone.input_shape)
    expected = np.asarray(backbone.model(pixels.astype(np.float32), training=False))
    for candidate in candidates(engine):
        try:
            program = programs.export(backbone, candidate.engine, candidate.precision)
        except BackendError as error:
            notes.append(f"{error}.")
            continue
        difference = relative_error(programs.load(program)(pixels), expected)
        if difference <= TOLERANCE:
            return Choice(program, difference, tuple(notes))
        notes.append(f"{candidate} is not used: its features differ by {difference:.1e}.")
    raise BackendError(f"no engine can run this backbone: {' '.join(notes)}")


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the Euclidean distance of two arrays divided by the norm of ``expected``.

    If the norm is 0, return the distance.
    """
    distance, length = np.linalg.norm(found - expected), np.linalg.norm(expected)
    return float(distance / length) if length else float(distance)


def _noise(shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (_COMPARED, *shape), np.uint8)


def backbone_of(config: BackboneConfig, image_shape: tuple[int, int, int], seed: int) -> Backbone:
    """Return a backbone, cached in the driver between fit and predict and between Pipeline folds.

    Raises
    ------
    ModelError
        As in :func:`models.backbones.build_backbone`.
    """
    changed = config.path.stat().st_mtime_ns if config.is_file and config.path.exists() else 0
    return _built(config, image_shape, seed, changed)


@lru_cache(maxsize=2)
def _built(
    config: BackboneConfig, image_shape: tuple[int, int, int], seed: int, changed: int
) -> Backbone:
    """Build a backbone; ``changed`` distinguishes versions of a file in the cache."""
    return build_backbone(config, image_shape, seed)


@lru_cache(maxsize=2)
def choice_of(backbone: Backbone, engine: EngineChoice) -> Choice:
    """Return the result of :func:`choose`, cached in the driver."""
    return choose(backbone, engine)
