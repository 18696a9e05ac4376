"""Options of ``deploy emr`` that do nothing where they are given: refused, not passed over."""

from collections.abc import Collection, Mapping
from typing import Any

from deploy.errors import DeployError

#: How a cluster is made.
_OF_MAKING = ("instance_type", "core_nodes", "spot", "service_role", "instance_profile")
_OF_A_CLUSTER = (*_OF_MAKING, "cluster", "price_per_hour")
#: What an application has from its making on.
_OF_AN_APPLICATION = ("release", "subnet", "security_group")


def check(named: Collection[str], given: Mapping[str, Any]) -> None:
    """Refuse what would be passed over.

    Parameters
    ----------
    named
        Options that the user has typed, by the names of their parameters.
    given
        Values of all.

    Raises
    ------
    DeployError
        Naming the option, and why.
    """
    serverless = given["serverless"] or given["application"] is not None
    for option, why in _unused(given, serverless=bool(serverless)).items():
        if option in named:
            raise DeployError(f"--{option.replace('_', '-')} cannot be given here: {why}")
    if not serverless and len(given["subnet"] or ()) > 1:
        raise DeployError("--subnet cannot be given twice here: a cluster is in one subnet")
    if given["security_group"] and not given["subnet"]:
        raise DeployError("--security-group cannot be given here: it belongs to a --subnet")


def _unused(given: Mapping[str, Any], *, serverless: bool) -> dict[str, str]:
    """Return the options that do nothing, with the reason."""
    if serverless:
        unused = dict.fromkeys(_OF_A_CLUSTER, "EMR Serverless has no cluster and no machines")
        if given["application"]:
            made = f"{given['application']} is made already"
            unused |= dict.fromkeys(_OF_AN_APPLICATION, made)
        return unused
    unused = {
        "role": "it is for --serverless; machines have --instance-profile",
        "security_group": "EMR makes those of a cluster",
    }
    if given["cluster"]:
        made = f"{given['cluster']} is made already"
        unused |= dict.fromkeys((*_OF_MAKING, "release", "subnet", "price_per_hour"), made)
    return unused
