"""Decision which runs use a private network, and warnings about the others."""

import os
import pwd
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from backends import Backend, TrainingTask
from backends.registry import BACKENDS
from data.object_store import is_object
from data.process_environment import LOOPBACK
from experiments.config import Experiment, RunPlan
from experiments.errors import ExperimentError
from experiments.processes.private_network import NoPrivateNetworkError, private_network
from experiments.spark.addresses import on_this_machine
from models.config import BackboneConfig

#: First user id of a person; lower ids belong to services (``UID_MIN`` of Linux's login.defs).
_FIRST_PERSON = 1000
#: Last user id of a person; above are ``nobody`` and ids of containers.
_LAST_PERSON = 60000
_NO_LOGIN = ("nologin", "false", "sync")
#: Spark settings that contain an address of this machine.
_ADDRESSES = ("spark.driver.host", "spark.driver.bindAddress")
#: Maximum number of accounts listed in a message.
_NAMED = 3


def needs_network(plan: RunPlan, task: TrainingTask) -> str:
    """Return why processes of a run need more than loopback, or an empty string."""
    if plan.backend not in BACKENDS:
        return f"{plan.backend} may need more than loopback"
    if is_object(task.data.uri):
        return f"{task.data.uri} is not on this machine"
    for backbone in (task.model.backbone, *dict(task.options).values()):
        if isinstance(backbone, BackboneConfig) and backbone.may_download:
            return f"the weights of {backbone.name} may have to be downloaded"
    return _reason_in_conf(plan.experiment.spark.conf)


def check_private(experiment: Experiment, data: str) -> None:
    """Reject an experiment that requires a private network which is not available to its runs.

    Raises
    ------
    ExperimentError
        If the data are in an object store, or this machine does not allow network namespaces.
    """
    if experiment.spark.network != "private":
        return
    if is_object(data):
        raise ExperimentError(
            f"spark.network 'private': {data} cannot be read from a private network"
        )
    try:
        with private_network():
            return
    except NoPrivateNetworkError as error:
        raise ExperimentError(
            f"spark.network 'private': this machine does not allow network namespaces ({error})"
        ) from error


def exposure(backend: Backend, master: str, reason: str) -> str:
    """Return a warning about a run outside a private network, or an empty string.

    Parameters
    ----------
    backend
        Backend of the run.
    master
        Spark URL.
    reason
        Reason why the run has no private network.
    """
    if not backend.listens_unprotected or not on_this_machine(master):
        return ""
    others = other_people()
    if not others:
        return ""
    names = ", ".join(others[:_NAMED]) + (" and others" if len(others) > _NAMED else "")
    return (
        f"{backend.name} opens servers without a password, which other accounts of this machine "
        f"({names}) can reach while it trains: the run has no private network because {reason}"
    )


def other_people() -> list[str]:
    """Return the accounts of other people on this machine, sorted.

    These are the accounts of the user database that may log in, and the owners of home folders and
    of processes, because a directory service does not necessarily list its accounts.
    """
    names = {
        entry.pw_name: entry.pw_uid
        for entry in pwd.getpwall()
        if not entry.pw_shell.endswith(_NO_LOGIN)
    }
    seen = [home.stat().st_uid for home in _homes()]
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            seen.append(process.uids().real)
    for user in seen:
        with suppress(KeyError):
            names.setdefault(pwd.getpwuid(user).pw_name, user)
    own = os.getuid()
    return sorted(
        name
        for name, user in names.items()
        if _FIRST_PERSON <= user <= _LAST_PERSON and user != own
    )


def _homes() -> list[Path]:
    try:
        return [home for home in Path("/home").iterdir() if home.is_dir()]
    except OSError:
        return []


def _reason_in_conf(conf: Mapping[str, str]) -> str:
    for name, value in conf.items():
        elsewhere = name in _ADDRESSES and value not in (LOOPBACK, "localhost")
        if elsewhere or ("://" in value and not value.startswith("file://")):
            return f"{name} contains an address"
        if name == "spark.ui.enabled" and value.lower() == "true":
            return "Spark's web UI is enabled"
    return ""
