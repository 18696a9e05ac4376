"""Energy used by the driver's machine during a run, by codecarbon; needs the extra ``energy``."""

import logging
from importlib.util import find_spec
from typing import Any

from experiments.errors import ExperimentError

_JOULES_PER_KWH = 3.6e6
#: Seconds between two readings of power.
_INTERVAL = 1.0


def check_installed() -> None:
    """Raise :class:`ExperimentError` if codecarbon is not installed."""
    if find_spec("codecarbon") is None:
        raise ExperimentError(
            "energy.country needs codecarbon: run 'uv sync --extra energy', or omit the key"
        )


class EnergyMeter:
    """Context manager that measures energy; it opens no network connection.

    Parameters
    ----------
    country
        Three-letter ISO 3166 code of the country, which determines the grams of CO2 per kWh.
    """

    def __init__(self, country: str) -> None:
        self._country = country
        self._tracker: Any = None
        self._found: Any = None

    def __enter__(self) -> "EnergyMeter":
        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
        from codecarbon import OfflineEmissionsTracker

        self._tracker = OfflineEmissionsTracker(
            country_iso_code=self._country,
            measure_power_secs=_INTERVAL,
            tracking_mode="machine",
            output_methods=[],
            allow_multiple_runs=True,
            log_level="critical",
        )
        self._tracker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._tracker.stop()
        self._found = self._tracker.final_emissions_data

    def metrics(self) -> dict[str, float]:
        """Return the energy of processors, memory and devices in joules, and CO2 in grams."""
        if self._found is None:
            return {}
        return {
            "resources.energy_j": self._found.energy_consumed * _JOULES_PER_KWH,
            "resources.co2_g": self._found.emissions * 1000,
        }

    @property
    def method(self) -> str:
        """Description of the measurement, to be appended to that of the resources."""
        modes = {getattr(part, "_mode", None) for part in getattr(self._tracker, "_hardware", ())}
        counted = {"intel_rapl", "intel_power_gadget"} & modes
        how = "the processor's own counters" if counted else "an estimate from its type and load"
        return (
            f"; energy of the driver's whole machine by codecarbon, processor power from {how}, "
            f"CO2 by the power mix of {self._country}"
        )
