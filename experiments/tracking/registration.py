"""Registered models of MLflow: all versions of one model have the same classes."""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: Tag of a version with the names of its classes, as JSON.
CLASSES = "class_names"
#: Letters of a digest of class names that a name ends with.
_DIGEST = 8
#: MLflow's limit for the length of a tag.
_TAG_LENGTH = 5000


def model_name(experiment: str, backend: str) -> str:
    """Return the name under which the models of a backend are registered."""
    return re.sub(r"[^\w.-]", "-", f"{experiment}-{backend}")


def register(
    client: "MlflowClient", run: str, name: str, model: str, class_names: Sequence[str]
) -> str:
    """Make the artifact folder ``model`` of a run the newest version of a registered model, once.

    Where the model ``name`` has versions with other classes, the version goes to a model of its
    own, whose name ends with a digest of the class names: the newest version of a model must give
    the probabilities of the classes that its users expect.

    Returns
    -------
    str
        Empty, or a sentence about the other name.
    """
    if made := client.search_model_versions(f"run_id = '{run}'"):
        return _note(name, str(made[0].name))
    classes = _written(class_names)
    others = [
        version
        for version in client.search_model_versions(f"name = '{name}'")
        if _classes_of(client, version) != classes
    ]
    digest = hashlib.sha256(classes.encode()).hexdigest()[:_DIGEST]
    chosen = f"{name}-{digest}" if others else name
    _create(client, chosen)
    source = f"{client.get_run(run).info.artifact_uri}/{model}"
    client.create_model_version(chosen, source, run, tags={CLASSES: classes})
    return _note(name, chosen)


def _note(name: str, chosen: str) -> str:
    if chosen == name:
        return ""
    return (
        f"The model is registered as {chosen}: {name} has versions with other classes. --name "
        "gives the experiment and its models a name of their own."
    )


def _create(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _classes_of(client: "MlflowClient", version: Any) -> str | None:
    """Return the classes of a version as they are written in its tag.

    Versions that were registered before there was the tag say them in the data set of their run.
    None where nothing says them.
    """
    from mlflow.exceptions import MlflowException

    if CLASSES in version.tags:
        return str(version.tags[CLASSES])
    try:
        inputs = client.get_run(version.run_id).inputs.dataset_inputs
        profiles = [json.loads(one.dataset.profile or "{}") for one in inputs]
    except (MlflowException, ValueError):
        return None
    return next((_written(one["classes"]) for one in profiles if "classes" in one), None)


def _written(class_names: Sequence[str]) -> str:
    """Return class names as a tag holds them: JSON, or a digest of it where that is too long."""
    text = json.dumps(list(class_names), ensure_ascii=False)
    if len(text.encode()) > _TAG_LENGTH:
        return hashlib.sha256(text.encode()).hexdigest()
    return text
