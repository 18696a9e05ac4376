"""The trained network and the data set in MLflow's own terms."""

import json
import logging
import re
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from data.config import DataConfig
from data.prepared import PreparedData
from data.schema import SPLITS
from experiments.tracking import Recorder

#: Artifact folder of the model.
MODEL = "model"
#: Artifact with the network as Keras has it; the model holds a copy.
NETWORK = "model.keras"
_CODE = Path(__file__).parent / "classifier.py"
_REQUIRED = ("keras", "tensorflow-cpu", "numpy", "h5py")
#: MLflow's limit.
_DIGEST_LENGTH = 36


def save_model(network: Path, data: PreparedData, folder: Path) -> None:
    """Write ``network``, a ``.keras`` file, as a model of MLflow to ``folder``.

    Its signature has the images' shape and dtype and the number of classes; its metadata the names
    of the classes in their order.
    """
    import mlflow
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    shape = DataConfig.model_validate(data.summary.config).image.shape
    classes = len(data.class_names)
    # The environment has no pip, which MLflow would like to write down with the model.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # MLflow misses an example, with which it would import TensorFlow and predict here.
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


def register_model(recorder: Recorder, run: str, experiment: str, backend: str) -> None:
    """Make the model of a run the newest version of ``<experiment>-<backend>``."""
    from mlflow.exceptions import MlflowException

    name = re.sub(r"[^\w.-]", "-", f"{experiment}-{backend}")
    client = recorder.client
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{client.get_run(run).info.artifact_uri}/{MODEL}"
    client.create_model_version(name, source, run)


def log_data(recorder: Recorder, run: str, data: PreparedData, judged: str) -> None:
    """Record which data set a run has used, with its fingerprint and what is in it.

    Test images are in it only where they were ``judged``.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    summary = data.summary
    splits = [split for split in SPLITS if split != "test" or judged == "test"]
    profile: dict[str, Any] = {split: data.rows(split) for split in splits}
    profile |= {"classes": list(data.class_names), "image_shape": list(data.image_shape)}
    dataset = Dataset(
        name="synthetic cells" if summary.synthetic else summary.layout,
        digest=summary.fingerprint[:_DIGEST_LENGTH],
        source_type="local",
        source=json.dumps({"uri": summary.source}),
        profile=json.dumps(profile),
    )
    tags = [InputTag("mlflow.data.context", ", ".join(splits))]
    recorder.client.log_inputs(run, datasets=[DatasetInput(dataset, tags)])
