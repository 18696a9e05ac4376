"""Validation of a trained model on images of other sources whose classes are known.

It needs the predictions of ``serving`` and the scores and the record of ``experiments``, which do
not know each other.
"""

from sparkdl_bench.external_validation.examination import Examination
from sparkdl_bench.external_validation.record import record
from sparkdl_bench.external_validation.scoring import Validation, validate
from sparkdl_bench.external_validation.terminal import show

__all__ = ["Examination", "Validation", "record", "show", "validate"]
