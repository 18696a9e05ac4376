"""The trained network and the data set in MLflow's formats."""

import json
import logging
import shutil
import warnings
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from data.own_folders import temporary_folder
from data.prepared import PreparedData
from data.project import ROOT
from data.schema import SPLITS
from experiments.tracking.pending_run import DataEntry
from models.card import NETWORK, ModelCard
from models.openvino_form import STRUCTURE, WEIGHTS

#: Artifact folder of the model.
MODEL = "model"
#: Folder within the model that contains the network and its card.
CLASSIFIER = "classifier"
#: Packages whose code a model needs where the project is not installed.
_PACKAGES = ("data", "models", "serving")
_CODE = "code.zip"
_REQUIRED = ("h5py", "keras", "numpy", "openvino", "pillow", "pyarrow", "pydantic", "simplejpeg")
#: MLflow's limit for the length of a data set's digest.
_DIGEST_LENGTH = 36


def save_model(network: Path, card: ModelCard, folder: Path) -> None:
    """Write the network in the folder ``network`` and its card as an MLflow model to ``folder``."""
    import mlflow

    with temporary_folder("classifier") as own:
        inner = own / CLASSIFIER
        inner.mkdir()
        for name in (NETWORK, STRUCTURE, WEIGHTS):
            if (network / name).exists():
                shutil.copy2(network / name, inner / name)
        card.write(inner)
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
                pip_requirements=_requirements(),
                metadata={"class_names": list(card.class_names)},
            )


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
