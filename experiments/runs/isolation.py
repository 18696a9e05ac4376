"""Which runs get a network of their own, and who could reach the others."""

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

#: Ids from here on belong to people, those below to services (``UID_MIN`` of Linux's login.defs).
_FIRST_PERSON = 1000
#: The last id of people; above are ``nobody`` and ids of containers.
_LAST_PERSON = 60000
_NO_LOGIN = ("nologin", "false", "sync")
#: Settings that hold an address of this machine.
_ADDRESSES = ("spark.driver.host", "spark.driver.bindAddress")
#: Accounts that a sentence names.
_NAMED = 3


def needs_network(plan: RunPlan, task: TrainingTask) -> str:
    """Return why processes of a run need more than loopback, or an empty text."""
    if plan.backend not in BACKENDS:
        return f"{plan.backend} may need more than loopback"
    if is_object(task.data.uri):
        return f"{task.data.uri} is not on this machine"
    for backbone in (task.model.backbone, *dict(task.options).values()):
        if isinstance(backbone, BackboneConfig) and backbone.may_download:
            return f"the weights of {backbone.name} may have to be downloaded"
    return _asked_of_spark(plan.experiment.spark.conf)


def check_private(experiment: Experiment, data: str) -> None:
    """Refuse an experiment that asks for a private network which its runs cannot have.

    Raises
    ------
    ExperimentError
        With the reason.
    """
    if experiment.spark.network != "private":
        return
    if is_object(data):
        raise ExperimentError(f"spark.network 'private': {data} cannot be read from there")
    try:
        with private_network():
            return
    except NoPrivateNetworkError as error:
        raise ExperimentError(
            f"spark.network 'private': this machine gives no network namespace ({error})"
        ) from error


def exposure(backend: Backend, master: str, reason: str) -> str:
    """Return what a user should know of a run outside a private network, or an empty text.

    Parameters
    ----------
    reason
        Why it has none.
    """
    if not backend.listens_unprotected or not on_this_machine(master):
        return ""
    others = other_people()
    if not others:
        return ""
    names = ", ".join(others[:_NAMED]) + (" and others" if len(others) > _NAMED else "")
    return (
        f"{backend.name} opens servers without a password, which other accounts of this machine "
        f"({names}) can reach while it trains: the run has no network of its own, because {reason}"
    )


def other_people() -> list[str]:
    """Return the accounts of other people on this machine, sorted.

    Those of the user database that may log in, and owners of home folders and of processes: a
    directory service need not list its accounts.
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


def _asked_of_spark(conf: Mapping[str, str]) -> str:
    for name, value in conf.items():
        elsewhere = name in _ADDRESSES and value not in (LOOPBACK, "localhost")
        if elsewhere or ("://" in value and not value.startswith("file://")):
            return f"{name} names an address"
        if name == "spark.ui.enabled" and value.lower() == "true":
            return "Spark's pages are asked for"
    return ""
