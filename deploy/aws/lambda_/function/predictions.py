"""The answer to ``POST /predict``, with the same content as that of ``sparkdl-bench serve``."""

from collections.abc import Sequence
from typing import Any

from deploy.aws.lambda_.function.endpoint import as_float32
from deploy.aws.lambda_.function.problem import ProblemError

#: Threshold that selects the most probable class; see ``models.decision``.
_MOST_PROBABLE = 0.5


def document(
    card: dict[str, Any],
    disclaimer: str,
    names: Sequence[str],
    results: Sequence[list[float] | ProblemError],
) -> tuple[dict[str, Any], int]:
    """Return the answer, and its status: that of the first error if no image was classified."""
    threshold = card["threshold"]
    answer: dict[str, Any] = {
        "model": {"name": card["name"], "version": card["version"]},
        "classes": card["class_names"],
        "threshold": {
            "class": card["positive_class"],
            "value": threshold["value"],
            "rule": threshold["rule"],
        },
        "images": [
            {"name": name, "error": result.reason, "status": result.status}
            if isinstance(result, ProblemError)
            else _classified(card, name, result)
            for name, result in zip(names, results, strict=True)
        ],
        "disclaimer": disclaimer,
    }
    errors = [result for result in results if isinstance(result, ProblemError)]
    if len(errors) < len(results):
        return answer, 200
    return answer | {"error": errors[0].reason, "message": errors[0].reason}, errors[0].status


def decide(probabilities: Sequence[float], positive: int, threshold: float) -> int:
    """Return the class at a decision threshold, as ``models.decision.decide`` does.

    That function compares in float32.
    """
    if threshold == _MOST_PROBABLE:
        return _most_probable(probabilities)
    if probabilities[positive] >= as_float32(threshold):
        return positive
    others = list(probabilities)
    others[positive] = -1.0
    return _most_probable(others)


def _classified(card: dict[str, Any], name: str, row: list[float]) -> dict[str, Any]:
    classes = card["class_names"]
    positive = classes.index(card["positive_class"])
    return {
        "name": name,
        "class": classes[_most_probable(row)],
        "decision": classes[decide(row, positive, card["threshold"]["value"])],
        "probabilities": dict(zip(classes, row, strict=True)),
        # The endpoint decodes the image and answers with probabilities alone.
        "width": None,
        "height": None,
        "warnings": [],
    }


def _most_probable(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)
