"""What a request may cost at most, said and checked before it is sent."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from deploy.errors import DeployError

_TABLE = Path(__file__).with_name("prices.json")


@dataclass(frozen=True)
class Price:
    """What runs, by the hour, in USD."""

    by_hour: float
    #: How the figure came about, for the line that shows it.
    origin: str

    def at_most(self, hours: float) -> float:
        """Return what ``hours`` cost."""
        return self.by_hour * hours

    def check(self, hours: float, limit: float) -> str:
        """Return the estimate as a line.

        Raises
        ------
        DeployError
            When it is above ``limit``.
        """
        cost = self.at_most(hours)
        text = f"at most {cost:.2f} USD ({hours:g} h at {self.by_hour:.3f} USD: {self.origin})"
        if cost > limit:
            raise DeployError(
                f"this may cost {text}, above --max-cost {limit:.2f}: use fewer --max-hours, fewer "
                "or smaller machines, or allow it with a higher --max-cost"
            )
        return text


@dataclass(frozen=True)
class Machine:
    """An instance type."""

    vcpu: int
    gib: int
    price: float


def machine(kind: Literal["emr", "sagemaker"], name: str) -> Machine | None:
    """Return what is known of an instance type, or None."""
    found = _table()[kind].get(name)
    return Machine(**found) if found else None


def of_instances(
    kind: Literal["emr", "sagemaker"], name: str, count: int, region: str, given: float | None
) -> Price:
    """Return the price of ``count`` instances.

    Parameters
    ----------
    given
        USD by the hour for one instance, stronger than the table.

    Raises
    ------
    DeployError
        When the type is not in the table and no price is given.
    """
    if given is not None:
        return Price(given * count, f"{count} x {name} at the given {given:g}")
    found = machine(kind, name)
    if found is None:
        names = ", ".join(_table()[kind])
        raise DeployError(
            f"no price is known for {name}: name it with --price-per-hour (known: {names})"
        )
    factor, note = _region(region)
    return Price(found.price * count * factor, f"{count} x {name} at {found.price:g}{note}")


def of_capacity(vcpu: int, gib: int, region: str) -> Price:
    """Return the price of EMR Serverless at a capacity."""
    prices = _table()["emr_serverless"]
    factor, note = _region(region)
    by_hour = (vcpu * prices["vcpu_hour"] + gib * prices["gib_hour"]) * factor
    return Price(by_hour, f"{vcpu} vCPU and {gib} GB of EMR Serverless{note}")


def of_requests(gib: float, region: str) -> Price:
    """Return the price of serverless inference that never rests."""
    factor, note = _region(region)
    by_hour = gib * _table()["sagemaker_serverless"]["gib_hour"] * factor
    return Price(by_hour, f"serverless inference of {gib:g} GB, busy all the time{note}")


def _region(region: str) -> tuple[float, str]:
    """Return a factor that no region exceeds, and what to say of it."""
    table = _table()
    if region == table["region"]:
        return 1.0, ""
    factor = float(table["dearest_region_factor"])
    return factor, f", times {factor:g} because {region} may be dearer than {table['region']}"


@lru_cache
def _table() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(_TABLE.read_text())
    return content
