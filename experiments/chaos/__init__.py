"""What becomes of a run when something breaks: faults injected in the middle of an epoch."""

from experiments.chaos.campaign import campaign
from experiments.chaos.faults import FAULTS, fault_names
from experiments.chaos.outcome import Outcome
from experiments.chaos.scene import Conditions

__all__ = ["FAULTS", "Conditions", "Outcome", "campaign", "fault_names"]
