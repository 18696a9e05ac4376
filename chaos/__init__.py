"""What becomes of a run when something breaks: faults injected in the middle of an epoch."""

from chaos.campaign import campaign
from chaos.faults import FAULTS, fault_names
from chaos.outcome import Outcome
from chaos.run_under_test import Conditions

__all__ = ["FAULTS", "Conditions", "Outcome", "campaign", "fault_names"]
