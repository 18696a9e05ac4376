"""A classifier that is sent to Spark's executors and opened once in each Python worker."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from data.own_folders import temporary_folder
from models import openvino_form
from models.card import CARD, NETWORK, ModelCard
from serving.classifier import Classifier, classifier_folder
from serving.network import Engine, Network
from serving.spark.code import ship_code

if TYPE_CHECKING:
    from pyspark import Broadcast, SparkContext

#: Files of each engine, in addition to the card.
_FILES: dict[Engine, tuple[str, ...]] = {
    "openvino": (openvino_form.STRUCTURE, openvino_form.WEIGHTS),
    "keras": (NETWORK,),
}
#: An executor has one core.
_THREADS = 1
#: Number of classifiers that a Python worker keeps: a query may compare two models.
_KEPT = 2

#: Classifiers that were opened in this process, by digest.
_opened: dict[str, Classifier] = {}


@dataclass(frozen=True)
class ModelFiles:
    """Files from which executors open a classifier, in memory."""

    card: ModelCard
    engine: Engine
    #: Name -> content.
    content: dict[str, bytes]

    @classmethod
    def read(cls, model: str | Path | Classifier) -> "ModelFiles":
        """Return the files of a classifier that its engine needs.

        Parameters
        ----------
        model
            Folder of a model, name of a model as for `serving.find.find_model`, or classifier.

        Raises
        ------
        ServingError
            If there is no such model, or it cannot be served.
        """
        if isinstance(model, Classifier):
            card, folder, engine = model.card, model.network.folder, model.network.engine
        else:
            folder = _folder_of(model)
            card = ModelCard.read(folder)
            engine = Network.engine_for(folder, card)
        content = {name: (folder / name).read_bytes() for name in _FILES[engine]}
        return cls(card, engine, {CARD: card.model_dump_json().encode(), **content})

    @cached_property
    def digest(self) -> str:
        """SHA-256 of engine, card and network; the card has the threshold and the temperature."""
        digest = hashlib.sha256(self.engine.encode())
        for name, content in sorted(self.content.items()):
            digest.update(f"{name} {len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()


@dataclass(frozen=True)
class ShippedClassifier:
    """Picklable reference to a classifier, whose files executors receive when they need them."""

    digest: str
    engine: Engine
    content: "Broadcast[dict[str, bytes]]"

    @classmethod
    def ship(cls, context: "SparkContext", files: ModelFiles) -> "ShippedClassifier":
        """Make a classifier available to the executors of ``context``."""
        ship_code(context)
        return cls(files.digest, files.engine, context.broadcast(files.content))

    def open(self) -> Classifier:
        """Return the classifier, which is opened once in each Python process of an executor.

        Raises
        ------
        ServingError
            If its engine is not installed there.
        """
        if self.digest not in _opened:
            while len(_opened) >= _KEPT:
                del _opened[next(iter(_opened))]
            with temporary_folder("classifier") as folder:
                for name, content in self.content.value.items():
                    (folder / name).write_bytes(content)
                _opened[self.digest] = Classifier.open(folder, self.engine, _THREADS)
        return _opened[self.digest]


def _folder_of(model: str | Path) -> Path:
    if Path(model).is_dir():
        return classifier_folder(Path(model))
    from serving.find import find_model

    return find_model(str(model)).folder
