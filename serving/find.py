"""Location of a trained model by its name, its run or its folder."""

import argparse
import json
import re
import sys
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path

from data.addresses import plain_address
from data.errors import SparkdlError
from data.names import visible
from data.object_store import is_object
from data.store_address import described, usual_uri
from serving.classifier import classifier_folder, holds_classifier
from serving.errors import ServingError
from serving.stores import ModelStore, RecordedRun, Version, open_store
from serving.stores.artifacts import folder_of

#: Artifact folder in which a run records its model.
MODEL = "model"
#: A run's id or its beginning: enough digits that few runs share them.
_RUN_ID = re.compile(r"[0-9a-fA-F]{6,32}")
_FEWEST_DIGITS = 6
#: Beginnings of texts that are paths and not names.
_PATHS = ("/", "./", "../", "~", "file:")
_NAMED, _RUNS = "models:/", "runs:/"
#: Number of names or runs that a message lists.
_SHOWN = 5


@dataclass(frozen=True)
class FoundModel:
    """Trained model on this machine."""

    #: Folder with the model card and the network.
    folder: Path
    #: Name of the registered model, or empty.
    name: str = ""
    #: Number of the version, or None if the model is not registered.
    version: int | None = None
    #: Run that recorded the model, or empty.
    run_id: str = ""
    description: str = ""
    #: Store in which the model is recorded; empty if only its folder is known.
    tracking_uri: str = ""


def find_model(model: str, tracking_uri: str | None = None) -> FoundModel:
    """Return a trained model.

    Parameters
    ----------
    model
        One of: name of a registered model, for its newest version; ``name@alias``; ``name/3``; id
        of a run, or its first six or more digits; ``models:/…`` or ``runs:/…`` as MLflow writes
        them; folder or ``s3://`` address of a recorded model.
    tracking_uri
        Store of the record. None uses ``MLFLOW_TRACKING_URI`` or, if it is not set, ``mlflow.db``
        in the working folder, as a run does.

    Raises
    ------
    ServingError
        If there is no such model, or it cannot be served; the message is one line.
    """
    if not model.strip():
        raise ServingError("the name of the model is empty")
    if is_object(model):
        return FoundModel(classifier_folder(folder_of(model, "", "the model")))
    is_address = model.startswith((_NAMED, _RUNS))
    path = None if is_address else Path(plain_address(model))
    if path is not None and path.is_file():
        raise ServingError(f"{model} is a file: give the folder of the model")
    if path is not None and (model.startswith(_PATHS) or holds_classifier(path)):
        return FoundModel(classifier_folder(path))
    try:
        store = open_store(tracking_uri or usual_uri())
        return _located(store, _recorded(store, model))
    except ServingError:
        if path is not None and path.is_dir():
            classifier_folder(path)  # raises an error that names what the folder lacks
        raise


def _located(store: ModelStore, found: Version | RecordedRun) -> FoundModel:
    if isinstance(found, RecordedRun):
        run = f"run {found.run_id}"
        try:
            folder = classifier_folder(folder_of(found.address, store.uri, f"the model of {run}"))
        except ServingError as error:
            title = f"{run} ({visible(found.name)})" if found.name else run
            raise ServingError(f"{title} has no model that can be served: {error}") from error
        return FoundModel(folder, run_id=found.run_id, tracking_uri=store.uri)
    title = f"{found.name} version {found.number}"
    folder = classifier_folder(folder_of(found.address, store.uri, title))
    return FoundModel(folder, found.name, found.number, found.run_id, found.description, store.uri)


def _recorded(store: ModelStore, model: str) -> Version | RecordedRun:
    """Return the version or the run that ``model`` names."""
    if model.startswith(_RUNS):
        run_id, _, path = model.removeprefix(_RUNS).strip("/").partition("/")
        return _run(store, run_id, path or MODEL)
    text = model.removeprefix(_NAMED).strip("/")
    name, at, alias = text.rpartition("@")
    if at:
        return _with_alias(store, name, alias)
    name, slash, number = text.rpartition("/")
    if slash:
        return _with_number(store, name, number)
    if versions := store.versions(text):
        return versions[-1]
    if _RUN_ID.fullmatch(text) and not model.startswith(_NAMED):
        return _run(store, text.lower(), None)
    raise _unknown(store, text)


def _with_alias(store: ModelStore, name: str, alias: str) -> Version:
    versions = {version.number: version for version in _versions(store, name)}
    aliases = store.aliases(name)
    if aliases.get(alias) not in versions:
        known = ", ".join(map(visible, aliases)) or "none"
        raise ServingError(
            f"the model {visible(name)} has no alias '{visible(alias)}'; its aliases: {known}"
        )
    return versions[aliases[alias]]


def _with_number(store: ModelStore, name: str, number: str) -> Version:
    if not number.isdecimal() and number != "latest":
        raise ServingError(
            f"{visible(name)}/{visible(number)} is neither a folder nor a model with the number of "
            "a version, such as name/3"
        )
    versions = _versions(store, name)
    if number == "latest":
        return versions[-1]
    for version in versions:
        if version.number == int(number):
            return version
    known = ", ".join(str(version.number) for version in versions[-_SHOWN:])
    raise ServingError(
        f"the model {visible(name)} has no version {number}; "
        f"{'its versions' if len(versions) <= _SHOWN else 'its newest versions'}: {known}"
    )


def _versions(store: ModelStore, name: str) -> list[Version]:
    if versions := store.versions(name):
        return versions
    raise _unknown(store, name)


def _run(store: ModelStore, beginning: str, path: str | None) -> Version | RecordedRun:
    """Return the model of a run: its registered version if ``path`` is None and it has one."""
    found = store.runs(beginning)
    if not found:
        raise _unknown(store, beginning)
    if len(found) > 1:
        ids = ", ".join(run.run_id for run in found[:_SHOWN])
        raise ServingError(f"{len(found)} runs have ids that begin with {beginning}: {ids}")
    run = found[0]
    if path is None and (versions := store.versions_of_run(run.run_id)):
        return versions[-1]
    return RecordedRun(run.run_id, run.name, f"{run.address.rstrip('/')}/{path or MODEL}")


def _unknown(store: ModelStore, name: str) -> ServingError:
    names = store.names()
    if not names:
        return ServingError(
            f"{described(store.uri)} has no registered model, so none is called '{visible(name)}': "
            "train one with 'sparkdl-bench run', or name another record with --tracking-uri"
        )
    near = get_close_matches(name, names, n=_SHOWN, cutoff=0.4)
    hint = f"; did you mean {' or '.join(map(visible, near))}?" if near else ""
    if not near and len(names) <= _SHOWN:
        hint = f"; it has {', '.join(map(visible, names))}"
    return ServingError(
        f"there is no model '{visible(name)}' in {described(store.uri)}{hint} "
        "('sparkdl-bench models' lists all; a run is named by at least "
        f"{_FEWEST_DIGITS} digits of its id)"
    )


def main() -> None:
    """Print the model as JSON, for processes that do not import MLflow themselves."""
    parser = argparse.ArgumentParser("python -m serving.find", description=find_model.__doc__)
    parser.add_argument("model")
    parser.add_argument("--tracking-uri")
    options = parser.parse_args()
    try:
        found = find_model(options.model, options.tracking_uri)
    except SparkdlError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_status)
    sys.stdout.write(json.dumps(asdict(found), default=str) + "\n")


if __name__ == "__main__":
    main()
