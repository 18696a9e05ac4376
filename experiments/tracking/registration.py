"""Registered models in MLflow, in which all versions of a model have the same classes."""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from models.card import ModelCard
from models.card_text import render

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: Tag of a model version with the names of its classes, as JSON.
CLASSES = "class_names"
#: Number of characters of a digest of the class names in a model name.
_DIGEST = 8
#: MLflow's limit for the length of a tag and of a description, in characters.
_TAG_LENGTH = _DESCRIPTION_LENGTH = 5000
#: Description of a registered model.
_DESCRIPTION = "The description of each version is the model card of its network."


def model_name(experiment: str, backend: str) -> str:
    """Return the name under which the models of a backend are registered."""
    return re.sub(r"[^\w.-]", "-", f"{experiment}-{backend}")


def register(
    client: "MlflowClient",
    run: str,
    name: str,
    model: str,
    class_names: Sequence[str],
    card: ModelCard | None = None,
) -> str:
    """Register the artifact folder ``model`` of a run as the newest version of a model.

    Nothing is done if the run has a registered version already. If the model ``name`` has versions
    with other classes, the version is registered under a separate name that ends with a digest of
    the class names, because the newest version of a model must return the probabilities of the
    classes that its users expect.

    The card, if there is one, becomes the description of the version, which MLflow's page of the
    version shows, and its main figures become tags.

    Returns
    -------
    str
        Empty, or a sentence that gives the separate name.
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
    client.create_model_version(
        chosen,
        source,
        run,
        tags={CLASSES: classes, **(_tags(card) if card else {})},
        description=render(card, _DESCRIPTION_LENGTH) if card else None,
    )
    return _note(name, chosen)


def _tags(card: ModelCard) -> dict[str, str]:
    """Return the main figures of a card as tags, with the names of the run's metrics and tags."""
    tags = {
        "backend": card.backend,
        "data.fingerprint": card.data.fingerprint,
        "decision.threshold": f"{card.threshold.value:.4g}",
        "decision.rule": card.threshold.rule,
    }
    return tags | {f"test.{name}": f"{score.value:.4f}" for name, score in card.scores.items()}


def _note(name: str, chosen: str) -> str:
    if chosen == name:
        return ""
    return (
        f"The model is registered as {chosen}: {name} has versions with other classes. Use --name "
        "to give the experiment and its models a separate name."
    )


def _create(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=_DESCRIPTION)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _classes_of(client: "MlflowClient", version: Any) -> str | None:
    """Return the classes of a version in the form of its tag, or None if they are unknown.

    For versions registered before this tag was introduced, the classes are read from the data set
    of their run.
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
    """Return the class names as the value of a tag: JSON, or its digest if that is too long."""
    text = json.dumps(list(class_names), ensure_ascii=False)
    if len(text.encode()) > _TAG_LENGTH:
        return hashlib.sha256(text.encode()).hexdigest()
    return text
