"""Model card: everything that a user of a trained network needs to know, as a file beside it.

The contents follow M. Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from data.config import ImageConfig, Unit

#: Files in the folder of a model: the card, and the network in Keras's format.
CARD = "model_card.json"
NETWORK = "model.keras"
#: Sentence that every card and every page shows.
DISCLAIMER = "This model is not a medical device and must not be used for diagnosis."


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Score(_Frozen):
    """Value of a metric, with its 95 % interval over patients if there is one."""

    value: float
    low: float | None = None
    high: float | None = None


class Part(_Frozen):
    """Size of one part of the split."""

    images: int
    #: Number of patients or lesions; None if the source identifies neither.
    units: int | None = None


class Threshold(_Frozen):
    """Probability of the positive class from which an image is assigned to it."""

    value: float = 0.5
    #: Rule by which the value was chosen on the validation images: ``0.5``, ``youden``,
    #: ``sensitivity=0.95`` or ``specificity=0.9``.
    rule: str = "0.5"
    #: Sensitivity and specificity at the threshold on the test images, with intervals over
    #: patients; None if they are undefined.
    sensitivity: Score | None = None
    specificity: Score | None = None


class DataOrigin(_Frozen):
    """Data set on which the model was trained and tested."""

    #: Description of the source without its path, such as ``synthetic cells`` or ``malaria``.
    name: str
    fingerprint: str
    split_checksum: str
    synthetic: bool
    unit: Unit
    #: Part of the split -> its size.
    parts: dict[str, Part]


class Range(_Frozen):
    """Interval that contains 99 % of the training images' values of a property."""

    low: float
    high: float


class ModelCard(_Frozen):
    """Content of ``model_card.json``."""

    format: int = 1
    name: str
    #: Classes in the order of the probabilities.
    class_names: tuple[str, ...]
    positive_class: str
    #: Size and color mode to which images are converted.
    image: ImageConfig
    threshold: Threshold = Threshold()
    #: Divisor of the logits, fitted on the validation images; 1 leaves the probabilities unchanged.
    temperature: float = 1.0
    data: DataOrigin
    #: Metric -> score on the test images: ``f1``, ``sensitivity``, ``specificity``, ``roc_auc``.
    scores: dict[str, Score] = {}
    backend: str
    network: str
    seed: int
    epochs: int
    #: Date and time of the end of training, ISO 8601 in UTC.
    trained_at: str
    run_id: str = ""
    code_commit: str = ""
    #: Package -> version.
    versions: dict[str, str] = {}
    #: Property of an image -> range in the training images: ``height`` and ``width`` in pixels of
    #: the original files, ``brightness``, ``contrast`` (standard deviation of the luma), ``red``,
    #: ``green`` and ``blue`` as means from 0 to 255 of the prepared images.
    training_ranges: dict[str, Range] = {}
    #: Largest absolute difference between the probabilities of OpenVINO and of Keras on up to 64
    #: validation images; None if the network has no OpenVINO form.
    engine_difference: float | None = None
    #: Limits of the model, one sentence each.
    limits: tuple[str, ...] = ()

    @property
    def positive(self) -> int:
        """Index of the positive class."""
        return self.class_names.index(self.positive_class)

    @classmethod
    def read(cls, folder: Path) -> "ModelCard":
        """Return the card in ``folder``."""
        return cls.model_validate_json((folder / CARD).read_text())

    def write(self, folder: Path) -> None:
        """Write the card to ``folder``."""
        (folder / CARD).write_text(self.model_dump_json(indent=2))
