"""The trained network and the data set in MLflow's formats."""

import json
import logging
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from data.config import DataConfig
from data.prepared import PreparedData
from data.schema import SPLITS
from experiments.tracking.pending_run import DataEntry

#: Artifact folder of the model.
MODEL = "model"
#: Artifact with the network in Keras's format; the model contains a copy.
NETWORK = "model.keras"
_CODE = Path(__file__).parent / "classifier.py"
_REQUIRED = ("keras", "tensorflow-cpu", "numpy", "h5py")
#: MLflow's limit for the length of a data set's digest.
_DIGEST_LENGTH = 36


def save_model(network: Path, data: PreparedData, folder: Path) -> None:
    """Write ``network``, a ``.keras`` file, as an MLflow model to ``folder``.

    The model's signature contains shape and dtype (uint8) of the images and the number of classes;
    its metadata contain the class names in label order.
    """
    import mlflow
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    shape = DataConfig.model_validate(data.summary.config).image.shape
    classes = len(data.class_names)
    # MLflow warns that the environment has no pip, whose version it would store with the model.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # With an input example, MLflow would import TensorFlow and predict in this process.
        warnings.filterwarnings("ignore", message=".*input example was not provided")
        mlflow.pyfunc.save_model(
            folder,
            python_model=str(_CODE),
            artifacts={"network": str(network)},
            signature=ModelSignature(
                Schema([TensorSpec(np.dtype("uint8"), (-1, *shape))]),
                Schema([TensorSpec(np.dtype("float32"), (-1, classes))]),
            ),
            pip_requirements=[f"{name}=={version(name)}" for name in _REQUIRED],
            metadata={"class_names": list(data.class_names)},
        )


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
