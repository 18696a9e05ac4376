"""Upper bounds of the cost of a request, printed and checked before it is sent."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from deploy.errors import DeployError

_TABLE = Path(__file__).with_name("prices.json")


@dataclass(frozen=True)
class Price:
    """A price per hour."""

    #: USD per hour.
    by_hour: float
    #: Explanation of the figure, for messages.
    origin: str

    def at_most(self, hours: float) -> float:
        """Return the cost of ``hours`` in USD."""
        return self.by_hour * hours

    def check(self, hours: float, limit: float) -> str:
        """Return the estimate as one line of text.

        Raises
        ------
        DeployError
            If the estimate exceeds ``limit`` USD.
        """
        cost = self.at_most(hours)
        text = f"at most {cost:.2f} USD ({hours:g} h at {self.by_hour:.3f} USD: {self.origin})"
        if cost > limit:
            raise DeployError(
                f"this may cost {text}, above --max-cost {limit:.2f}: reduce --max-hours, use "
                "fewer or smaller machines, or increase --max-cost"
            )
        return text


@dataclass(frozen=True)
class Machine:
    """An instance type with its price in USD per hour."""

    vcpu: int
    gib: int
    price: float


def machine(kind: Literal["emr", "sagemaker"], name: str) -> Machine | None:
    """Return the entry of an instance type in the price table, or None."""
    found = _table()[kind].get(name)
    return Machine(**found) if found else None


def of_instances(
    kind: Literal["emr", "sagemaker"], name: str, count: int, region: str, given: float | None
) -> Price:
    """Return the price of ``count`` instances.

    Parameters
    ----------
    given
        USD per hour of one instance; overrides the table.

    Raises
    ------
    DeployError
        If the type is not in the table and no price is given.
    """
    if given is not None:
        return Price(given * count, f"{count} x {name} at the given {given:g}")
    found = machine(kind, name)
    if found is None:
        names = ", ".join(_table()[kind])
        raise DeployError(
            f"no price is known for {name}: set it with --price-per-hour (known: {names})"
        )
    factor, note = _region(region)
    return Price(found.price * count * factor, f"{count} x {name} at {found.price:g}{note}")


def of_capacity(vcpu: int, gib: int, region: str) -> Price:
    """Return the price of EMR Serverless for a capacity in vCPU and GiB."""
    prices = _table()["emr_serverless"]
    factor, note = _region(region)
    by_hour = (vcpu * prices["vcpu_hour"] + gib * prices["gib_hour"]) * factor
    return Price(by_hour, f"{vcpu} vCPU and {gib} GB of EMR Serverless{note}")


def of_requests(gib: float, region: str) -> Price:
    """Return the price of serverless inference under constant load."""
    factor, note = _region(region)
    by_hour = gib * _table()["sagemaker_serverless"]["gib_hour"] * factor
    return Price(by_hour, f"serverless inference with {gib:g} GB under constant load{note}")


def of_function(rate: float, gib: float, seconds: float, region: str) -> Price:
    """Return the price of a Lambda function behind an HTTP API under constant load.

    Parameters
    ----------
    rate
        Requests per second.
    gib, seconds
        Memory of the function, and duration of a request.
    """
    table, (factor, note) = _table()["lambda_http"], _region(region)
    by_request = table["million_requests"] / 1e6 + gib * seconds * table["gib_second"]
    origin = f"{rate:g} requests/s of {seconds:g} s without a pause{note}"
    return Price(3600 * rate * by_request * factor, origin)


def _region(region: str) -> tuple[float, str]:
    """Return a factor for the prices of ``region`` that it does not exceed, and a note about it."""
    table = _table()
    if region == table["region"]:
        return 1.0, ""
    factor = float(table["dearest_region_factor"])
    return factor, (
        f", times {factor:g} because {region} may be more expensive than {table['region']}"
    )


@lru_cache
def _table() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(_TABLE.read_text())
    return content
