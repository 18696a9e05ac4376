"""Export of an experiment to a file that does not depend on the working folder."""

import os
from pathlib import Path
from typing import Any

from data.store_address import absolute_uri
from experiments.config import LONGEST_NAME, Experiment
from experiments.own_data.description import SYNTHETIC

#: Keys whose values are paths or addresses.
_PATHS = (
    ("data", "source"),
    ("data", "labels"),
    ("data", "split", "manifest"),
    ("prepared",),
    ("artifacts",),
    ("spark", "environment_archive"),
    ("model", "prototxt"),
    ("model", "weights"),
)


def portable(experiment: Experiment, name: str) -> dict[str, Any]:
    """Return the content of a file for ``experiment`` under another name, with absolute paths.

    Keys with default values are omitted.
    """
    content = experiment.model_dump(mode="json", exclude_defaults=True)
    content["name"] = name[-LONGEST_NAME:].lstrip("/")
    for keys in _PATHS:
        _replace(content, keys)
    if "tracking_uri" in content:
        content["tracking_uri"] = absolute_uri(content["tracking_uri"])
    backbone = experiment.model.backbone
    if backbone is not None and backbone.is_file:
        for key, path in zip(("name", "caffemodel"), backbone.files, strict=False):
            content["model"]["backbone"][key] = str(path.absolute())
    return content


def _replace(content: dict[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys[:-1]:
        content = content.get(key, {})
    path = content.get(keys[-1])
    if isinstance(path, str) and path != SYNTHETIC and "://" not in path:
        expanded = os.path.expanduser(path)  # noqa: PTH111 - Path raises for unknown users
        content[keys[-1]] = str(Path(expanded).absolute())
