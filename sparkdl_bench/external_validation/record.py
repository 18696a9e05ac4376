"""Record of a validation in MLflow, below the run that trained the model."""

import json
from collections.abc import Callable
from pathlib import Path

from data.own_folders import temporary_folder
from data.store_address import absolute_uri, usual_uri
from experiments.errors import ExperimentError
from experiments.own_data.description import name_of
from experiments.records import FINISHED
from experiments.scoring.figures import confusion_matrix
from experiments.tracking import provenance
from experiments.tracking.data_entry import DataEntry
from experiments.tracking.outbox import OUTBOX, deliver
from experiments.tracking.pending_run import PendingRun
from experiments.tracking.recorder import Recorder, client_of, now_ms
from experiments.units import UNIT_TAG
from serving.find import FoundModel
from sparkdl_bench.external_validation.scoring import EXTERNAL, Validation

#: Artifacts.
PREDICTIONS, CONFUSION_MATRIX = "predictions.parquet", "confusion_matrix.png"
#: Context of the data set in MLflow.
CONTEXT = "external validation"
#: MLflow's limit for the length of a data set's digest.
_DIGEST_LENGTH = 36


def record(
    validation: Validation,
    model: FoundModel,
    source: str,
    *,
    tracking_uri: str | None,
    work: Path,
    on_wait: Callable[[str], None],
) -> str:
    """Record a validation as a child of the run that trained the model.

    Parameters
    ----------
    validation, model
        The validation and its model.
    source
        Source of the images, as typed by the user.
    tracking_uri
        Store of the training run if only the folder of the model is known; None is the usual one.
    work
        Folder in which the record waits if its server is unreachable.
    on_wait
        Called with a sentence if the server does not answer.

    Returns
    -------
    str
        Sentence that states where the validation is recorded, or why it is not.
    """
    parent = model.run_id or validation.results.card.run_id
    if not parent:
        return (
            "not recorded: the run that trained this model is unknown; name the model instead of "
            "its folder"
        )
    uri = model.tracking_uri or tracking_uri or usual_uri()
    try:
        return _recorded(validation, model, parent, source, uri, work, on_wait)
    except ExperimentError as error:
        return f"not recorded: {error}"


def _recorded(
    validation: Validation,
    model: FoundModel,
    parent: str,
    source: str,
    uri: str,
    work: Path,
    on_wait: Callable[[str], None],
) -> str:
    from mlflow.exceptions import MlflowException

    try:
        client = client_of(uri)
        experiment = client.get_experiment(client.get_run(parent).info.experiment_id).name
    except MlflowException as error:
        first = str(error).strip().splitlines()[0]
        raise ExperimentError(f"run {parent} cannot be read from {uri}: {first}") from error
    recorder = Recorder(uri, experiment)
    name = name_of(source, ())
    start = recorder.run_start(
        f"{CONTEXT}: {name}", _params(validation, model), _tags(validation), parent
    )
    with temporary_folder("validation") as artifacts:
        _write_artifacts(validation, model, artifacts)
        pending = PendingRun(
            tracking_uri=absolute_uri(uri),
            run_id="",
            start=start,
            status=FINISHED,
            metrics={f"{EXTERNAL}.{key}": value for key, value in validation.scores.items()},
            tags={"notes": "\n".join([*validation.warnings, *validation.notes])},
            data=_data_entry(validation, source),
            ended_ms=now_ms(),
        )
        waiting = deliver(pending, artifacts, recorder, work / OUTBOX, on_wait)
    return waiting or f"recorded below run {parent} as '{CONTEXT}: {name}'"


def _params(validation: Validation, model: FoundModel) -> dict[str, str]:
    card, images = validation.results.card, validation.results.images
    return {
        "model": model.name or card.name,
        "model.version": "" if model.version is None else str(model.version),
        "images": str(len(validation.predictions)),
        "rejects": str(len(validation.results.rejects)),
        "units": str(validation.units),
        "positive_class": card.positive_class,
        "decision.threshold": str(card.threshold.value),
        "layout": validation.index.layout,
        UNIT_TAG: images.unit,
    }


def _tags(validation: Validation) -> dict[str, str]:
    # There is no tag ``backend``, by which comparisons recognize the runs that they compare.
    tags = {
        "validation": EXTERNAL,
        "data.inputs_digest": validation.inputs_digest,
        "synthetic": str(validation.synthetic).lower(),
        "code.commit": provenance.code_commit(),
        UNIT_TAG: validation.results.images.unit,
    }
    if validation.fingerprint:
        tags["data.fingerprint"] = validation.fingerprint
    return tags


def _write_artifacts(validation: Validation, model: FoundModel, folder: Path) -> None:
    predictions = validation.predictions.drop(columns="pixels_sha256")
    predictions.to_parquet(folder / PREDICTIONS, index=False)
    confusion_matrix(
        predictions["label"].to_numpy(),
        validation.predicted,
        validation.results.card.class_names,
        CONTEXT,
        "synthetic cells" if validation.synthetic else "",
        folder / CONFUSION_MATRIX,
    )


def _data_entry(validation: Validation, source: str) -> DataEntry:
    card = validation.results.card
    profile = {
        EXTERNAL: len(validation.predictions),
        "classes": list(card.class_names),
        "image_shape": list(card.image.shape),
    }
    digest = validation.fingerprint or validation.inputs_digest
    return DataEntry(
        name="synthetic cells" if validation.synthetic else validation.index.layout,
        digest=digest[:_DIGEST_LENGTH],
        source=json.dumps({"uri": source}),
        profile=json.dumps(profile),
        context=CONTEXT,
    )
