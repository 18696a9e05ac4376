"""Rejects options of ``deploy emr`` that would have no effect, instead of ignoring them."""

from collections.abc import Collection, Mapping
from typing import Any

from deploy.errors import DeployError

#: Options for the creation of a cluster.
_OF_CREATION = ("instance_type", "core_nodes", "spot", "service_role", "instance_profile")
_OF_A_CLUSTER = (*_OF_CREATION, "cluster", "price_per_hour")
#: Options that are fixed when an application is created.
_OF_AN_APPLICATION = ("release", "subnet", "security_group")


def check(named: Collection[str], given: Mapping[str, Any]) -> None:
    """Reject options that would have no effect.

    Parameters
    ----------
    named
        Parameter names of the options that the user typed.
    given
        Values of all parameters.

    Raises
    ------
    DeployError
        If an option would have no effect; the message names it and gives the reason.
    """
    serverless = given["serverless"] or given["application"] is not None
    for option, why in _unused(given, serverless=bool(serverless)).items():
        if option in named:
            raise DeployError(f"--{option.replace('_', '-')} cannot be given here: {why}")
    if not serverless and len(given["subnet"] or ()) > 1:
        raise DeployError("--subnet cannot be given twice here: a cluster is in one subnet")
    if given["security_group"] and not given["subnet"]:
        raise DeployError("--security-group cannot be given here: it requires a --subnet")


def _unused(given: Mapping[str, Any], *, serverless: bool) -> dict[str, str]:
    """Return the options without effect, with the reason for each."""
    if serverless:
        unused = dict.fromkeys(_OF_A_CLUSTER, "EMR Serverless has no cluster and no machines")
        if given["application"]:
            reason = f"{given['application']} already exists"
            unused |= dict.fromkeys(_OF_AN_APPLICATION, reason)
        return unused
    unused = {
        "role": "it is for --serverless; machines have --instance-profile",
        "security_group": "EMR creates the security groups of a cluster",
    }
    if given["cluster"]:
        reason = f"{given['cluster']} already exists"
        unused |= dict.fromkeys((*_OF_CREATION, "release", "subnet", "price_per_hour"), reason)
    return unused
