"""Rules by which the decision threshold of an experiment is chosen."""

from dataclasses import dataclass
from typing import Literal, cast

from models.decision import MOST_PROBABLE

Kind = Literal["fixed", "youden", "sensitivity", "specificity"]
#: Rules that are written ``name=value``.
_WITH_VALUE = ("sensitivity", "specificity")


@dataclass(frozen=True)
class Rule:
    """Rule by which a decision threshold is chosen.

    ``fixed`` is the threshold ``value`` itself. ``youden`` maximizes sensitivity + specificity - 1:
    W. J. Youden, "Index for rating diagnostic tests", Cancer 3, 1950. ``sensitivity`` and
    ``specificity`` reach at least ``value`` on the validation images, with the largest possible
    value of the other.
    """

    kind: Kind
    value: float = MOST_PROBABLE

    def __str__(self) -> str:
        if self.kind == "fixed":
            return str(self.value)
        return self.kind if self.kind == "youden" else f"{self.kind}={self.value}"


def rule_of(text: str) -> Rule:
    """Return the rule that ``text`` describes: ``youden``, ``0.5``, ``sensitivity=0.95``.

    Raises
    ------
    ValueError
        If ``text`` describes no rule; the message lists the rules.
    """
    name, _, number = text.replace(" ", "").lower().partition("=")
    if name == "youden" and not number:
        return Rule("youden")
    kind, written = (name, number) if name in _WITH_VALUE else ("fixed", name if not number else "")
    try:
        value = float(written)
    except ValueError:
        value = float("nan")
    if not (0 < value < 1 or (kind != "fixed" and value == 1)):
        raise ValueError(
            f"'{text}' is not a rule for the decision threshold: use youden, a number between 0 "
            "and 1, sensitivity=0.95 or specificity=0.9"
        )
    return Rule(cast(Kind, kind), value)
