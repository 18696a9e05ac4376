"""Experiments on a user's own data without an experiment file, and their names.

An experiment file specifies the positive class and the size to which images are resized. If only a
folder is given, with ``--data``, the missing settings are derived from the data
(:mod:`experiments.own_data.settings`).
"""

import os
from pathlib import Path

from data.addresses import plain_address
from data.config import Name
from data.errors import DataError
from data.names import one_spelling, visible
from data.object_store import is_object
from experiments.config import LONGEST_NAME, Experiment

#: Source whose images are generated instead of read.
SYNTHETIC = "synthetic"
#: Suffix of a name that would otherwise be that of an experiment of the project.
_APART = "-images"
_TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".xls")


class OwnData(Experiment):
    """Experiment on a user's own data that have not been read yet.

    :func:`experiments.own_data.settings.read_data` derives the settings that were not given (those
    not in ``model_fields_set``).
    """

    #: Positive class; if not given, empty until the data are read.
    positive_class: Name = ""


def name_of(source: str, taken: tuple[str, ...]) -> str:
    """Return the name of the experiment on ``source``: a folder, a table or an ``s3://`` prefix.

    Parameters
    ----------
    source
        Source as entered by the user.
    taken
        Names of the project's experiments, which are never returned.
    """
    try:
        address = plain_address(source)
    except DataError:  # An invalid address is reported when the experiment is validated.
        address = source
    if not is_object(address):
        address = os.path.abspath(address)  # noqa: PTH100 - keep the name of a symbolic link
    last = address.rstrip("/").rpartition("/")[2]
    root, ending = os.path.splitext(last)  # noqa: PTH122 - the name may not be a path
    if ending.lower() in _TABLES and (is_object(address) or Path(address).is_file()):
        last = root
    return apart_from(taken, _plain(last))


def apart_from(taken: tuple[str, ...], name: str) -> str:
    """Return ``name``, with a suffix if it is in ``taken``."""
    return f"{name}{_APART}" if name in taken else name


def _plain(text: str) -> str:
    """Return ``text`` as a valid name of an MLflow experiment and of a folder."""
    seen = "".join(one if visible(one) == one else "_" for one in one_spelling(text))
    name = seen[: LONGEST_NAME - len(_APART)].strip()
    return "images" if name in ("", ".", "..") else name
