"""The trained network and the data set in MLflow's formats."""

import json
import logging
import shutil
import warnings
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.own_folders import temporary_folder
from data.prepared import PreparedData
from data.project import ROOT
from data.schema import SPLITS
from experiments.tracking.data_entry import DataEntry
from models.card import CARD, NETWORK, ModelCard
from models.card_text import CARD_TEXT, render
from models.openvino_form import STRUCTURE, WEIGHTS
from models.training_set import TRAINING_SET

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

#: Artifact folder of the model.
MODEL = "model"
#: Folder within the model that contains the network and its card.
CLASSIFIER = "classifier"
#: Folder with the network and its card, below that of the model.
_INNER = Path("artifacts") / CLASSIFIER
#: Packages whose code a model needs where the project is not installed.
_PACKAGES = ("data", "models", "serving")
_CODE = "code.zip"
_REQUIRED = ("h5py", "keras", "numpy", "openvino", "pillow", "pyarrow", "pydantic", "simplejpeg")
#: MLflow's limit for the length of a data set's digest.
_DIGEST_LENGTH = 36


def save_model(network: Path, card: ModelCard, folder: Path) -> None:
    """Write a network and its card as an MLflow model.

    Parameters
    ----------
    network
        Folder with the forms of the network and, if known, the digests of its training images.
    card
        Card of the model.
    folder
        Folder of the model, which must not exist.
    """
    import mlflow

    with temporary_folder("classifier") as own:
        inner = own / CLASSIFIER
        inner.mkdir()
        for name in (NETWORK, STRUCTURE, WEIGHTS, TRAINING_SET):
            if (network / name).exists():
                shutil.copy2(network / name, inner / name)
        _write_card(card, inner)
        _pack_code(inner / _CODE)
        # MLflow warns that the environment has no pip, whose version it would store with the model.
        logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            # With an input example, MLflow would load the network in this process.
            warnings.filterwarnings("ignore", message=".*input example was not provided")
            mlflow.pyfunc.save_model(
                folder,
                python_model=str(ROOT / "serving" / "mlflow_model.py"),
                artifacts={CLASSIFIER: str(inner)},
                signature=_signature(card),
                pip_requirements=_requirements(),
                metadata={"class_names": list(card.class_names)},
            )


def card_of_model(folder: Path) -> ModelCard | None:
    """Return the card of the MLflow model in ``folder``; None for models of earlier versions."""
    inner = folder / _INNER
    return ModelCard.read(inner) if (inner / CARD).is_file() else None


def name_run(artifacts: Path, card: ModelCard, run_id: str) -> ModelCard:
    """Add the id of the run to the card in the ``artifacts`` of a run, and return the card.

    The id is unknown until the record is sent if the server was unreachable when the run began.
    """
    card = card.model_copy(update={"run_id": run_id})
    _write_card(card, artifacts / MODEL / _INNER)
    (artifacts / CARD_TEXT).write_text(render(card), encoding="utf-8")
    return card


def _write_card(card: ModelCard, folder: Path) -> None:
    card.write(folder)
    (folder / CARD_TEXT).write_text(render(card), encoding="utf-8")


def _signature(card: ModelCard) -> "ModelSignature":
    """Return the columns of the predictions.

    The inputs are not specified, because MLflow would refuse all but one kind of them.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    columns = [ColSpec(DataType.string, name) for name in ("class", "decision")]
    columns += [ColSpec(DataType.double, f"probability_{name}") for name in card.class_names]
    return ModelSignature(outputs=Schema(columns))


def _pack_code(path: Path) -> None:
    """Write the Python files of `_PACKAGES` to a ZIP file, from which Python can import them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in _PACKAGES:
            for file in sorted((ROOT / package).rglob("*.py")):
                archive.write(file, file.relative_to(ROOT))


def _requirements() -> list[str]:
    installed = {name: _version(name) for name in (*_REQUIRED, "tensorflow-cpu", "tensorflow")}
    return [f"{name}=={found}" for name, found in installed.items() if found]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def data_entry(data: PreparedData, evaluation_split: str) -> DataEntry:
    """Return MLflow's description of the data set of a run: source, fingerprint and profile.

    The test split is included only if it is the ``evaluation_split``.
    """
    summary = data.summary
    splits = [split for split in SPLITS if split != "test" or evaluation_split == "test"]
    profile: dict[str, Any] = {split: data.rows(split) for split in splits}
    profile |= {"classes": list(data.class_names), "image_shape": list(data.image_shape)}
    return DataEntry(
        name="synthetic cells" if summary.synthetic else summary.layout,
        digest=summary.fingerprint[:_DIGEST_LENGTH],
        source=json.dumps({"uri": summary.source}),
        profile=json.dumps(profile),
        context=", ".join(splits),
    )
