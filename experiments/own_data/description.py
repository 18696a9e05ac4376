"""Data of the user's own: an experiment without a file, and its name.

An experiment file says which class is the positive one and to which size images are brought. For
a folder that is named with ``--data`` alone, nothing does, and what was not given is decided by
the data (:mod:`experiments.own_data.settings`).
"""

import os
from pathlib import Path

from data.addresses import plain_address
from data.config import Name
from data.errors import DataError
from data.names import one_spelling, visible
from data.object_store import is_object
from experiments.config import LONGEST_NAME, Experiment

#: The source that is drawn and not read.
SYNTHETIC = "synthetic"
#: Appended to a name that is an experiment's of the project.
_APART = "-images"
_TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".xls")


class OwnData(Experiment):
    """An experiment on data of the user's own that have not been read yet.

    What was not given (see ``model_fields_set``) is decided by
    :func:`experiments.own_data.settings.read_data`.
    """

    #: Empty until the data are read, where it was not given.
    positive_class: Name = ""


def name_of(source: str, taken: tuple[str, ...]) -> str:
    """Return the name of the experiment on ``source``: a folder, a table or an ``s3://`` prefix.

    Parameters
    ----------
    source
        As the user has typed it.
    taken
        Names of experiments of the project; none of them is returned.
    """
    try:
        address = plain_address(source)
    except DataError:  # a wrong address is refused when the experiment is validated
        address = source
    if not is_object(address):
        address = os.path.abspath(address)  # noqa: PTH100 - a link keeps its own name
    last = address.rstrip("/").rpartition("/")[2]
    root, ending = os.path.splitext(last)  # noqa: PTH122 - the name may be no path
    if ending.lower() in _TABLES and (is_object(address) or Path(address).is_file()):
        last = root
    return apart_from(taken, _plain(last))


def apart_from(taken: tuple[str, ...], name: str) -> str:
    """Return ``name``, or another one where it is among ``taken``."""
    return f"{name}{_APART}" if name in taken else name


def _plain(text: str) -> str:
    """Return ``text`` as a name that MLflow and folders can have."""
    seen = "".join(one if visible(one) == one else "_" for one in one_spelling(text))
    name = seen[: LONGEST_NAME - len(_APART)].strip()
    return "images" if name in ("", ".", "..") else name
