"""Fault injection: faults in the middle of an epoch of a run, and their outcomes."""

from chaos.campaign import campaign
from chaos.faults import FAULTS, fault_names
from chaos.outcome import Outcome
from chaos.run_under_test import Conditions

__all__ = ["FAULTS", "Conditions", "Outcome", "campaign", "fault_names"]
