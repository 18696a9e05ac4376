"""Description in words of the decision threshold of a model."""

from data.names import visible
from models.card import ModelCard, Score
from models.decision import MOST_PROBABLE


def summary(counts: dict[str, int], card: ModelCard) -> str:
    """Return the number of images by class.

    Parameters
    ----------
    counts
        Class -> number of images that were assigned to it.
    card
        Card of the model.
    """
    total = sum(counts.values())
    parts = ", ".join(f"{counts[name]:,} {visible(name)}" for name in card.class_names)
    at = (
        ""
        if card.threshold.value == MOST_PROBABLE
        else f" at the threshold {card.threshold.value:.3g}"
    )
    return f"{total:,} image{'' if total == 1 else 's'}{at}: {parts}"


def threshold_meaning(card: ModelCard) -> str:
    """Return what the threshold found among the test images; empty if it was not measured."""
    threshold = card.threshold
    scores = (threshold.sensitivity, threshold.specificity)
    if threshold.value == MOST_PROBABLE and None in scores:
        # The scores of a run then apply to the decisions.
        scores = (card.scores.get("sensitivity"), card.scores.get("specificity"))
    sensitivity, specificity = scores
    if sensitivity is None or specificity is None:
        return ""
    others = [visible(name) for name in card.class_names if name != card.positive_class]
    alarm = Score(
        value=1 - specificity.value,
        low=None if specificity.high is None else 1 - specificity.high,
        high=None if specificity.low is None else 1 - specificity.low,
    )
    rule = "" if threshold.rule == "0.5" else f" (chosen by {threshold.rule})"
    positive = visible(card.positive_class)
    return (
        f"threshold {threshold.value:.3g}{rule}: the model finds {_of_100(sensitivity)} images of "
        f"'{positive}' and takes {_of_100(alarm)} images of {_quoted(others)} for '{positive}', "
        f"measured on {_tested(card)}"
    )


def _of_100(score: Score) -> str:
    text = f"{round(100 * score.value)} of 100"
    if score.low is None or score.high is None:
        return text
    return f"{text} ({round(100 * score.low)} to {round(100 * score.high)})"


def _quoted(names: list[str]) -> str:
    return f"'{names[0]}'" if len(names) == 1 else "other classes"


def _tested(card: ModelCard) -> str:
    part = card.data.parts.get("test")
    if part is None:
        return "images that it had not seen"
    images = f"{part.images:,} test images"
    if part.units is None:
        return f"{images} that it had not seen"
    return f"{images} of {part.units:,} {card.data.unit}s that it had not seen"
