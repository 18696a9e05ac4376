"""Model card as Markdown, for MLflow's pages and for readers of the model's folder."""

from collections.abc import Iterator

from data.names import visible
from models.card import DISCLAIMER, ModelCard, Score
from models.decision import MOST_PROBABLE

#: Name of the file with the text.
CARD_TEXT = "model_card.md"
#: Names of scores in tables.
_TITLES = {
    "f1": "F1",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "roc_auc": "ROC AUC",
}
#: Largest number of classes that are listed.
_NAMED = 50
_REST = "\n\nThe complete card is in the file model_card.md of the run."


def render(card: ModelCard, longest: int | None = None) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    card
        Card to render.
    longest
        Largest number of characters; a longer text ends after a whole line, with a reference to the
        file. None does not limit it.
    """
    text = "\n".join(_lines(card)) + "\n"
    if longest is None or len(text) <= longest:
        return text
    kept = text[: longest - len(_REST)]
    return kept[: kept.rfind("\n")] + _REST


def _lines(card: ModelCard) -> Iterator[str]:
    positive = f"'{_plain(card.positive_class)}'"
    names = [_plain(name) for name in card.class_names[:_NAMED]]
    more = len(card.class_names) - len(names)
    listed = ", ".join(names) + (f" and {more} more" if more else "")
    yield f"# {_plain(card.name)}"
    yield from ("", f"**{DISCLAIMER}**", "")
    color = "color" if card.image.color == "rgb" else "grayscale"
    yield (
        f"The model classifies an image as one of {len(card.class_names)} classes ({listed}). "
        f"Images are converted to {card.image.height} x {card.image.width} pixels in {color}. The "
        f"positive class is {positive}."
    )
    yield from _scores(card)
    yield from _decision(card, positive)
    yield from _data(card)
    yield from _limits(card)
    yield from _provenance(card)


def _scores(card: ModelCard) -> Iterator[str]:
    yield from ("", "## Scores", "")
    over = "distinct images" if card.data.unit == "image" else f"{card.data.unit}s"
    yield (
        "Scores on the test images, which were not used for training, with 95 % intervals over "
        f"{over}."
    )
    yield from ("", "| score | value | 95 % interval |", "|---|---|---|")
    for name, score in card.scores.items():
        yield f"| {_TITLES.get(name, name)} | {score.value:.3f} | {_interval(score)} |"


def _decision(card: ModelCard, positive: str) -> Iterator[str]:
    threshold = card.threshold
    yield from ("", "## Decision", "")
    if threshold.value == MOST_PROBABLE:
        yield "The decision is the most probable class."
    else:
        yield (
            f"The decision is {positive} if its probability is at least {threshold.value:.4g}, and "
            "otherwise the most probable other class. The threshold was "
            + (
                "given."
                if threshold.rule == str(threshold.value)
                else f"chosen on the validation images by the rule `{threshold.rule}`."
            )
        )
    found, right = threshold.sensitivity, threshold.specificity
    if found is not None and right is not None:
        yield (
            f"Of 100 test images of {positive}, {100 * found.value:.0f} are found; of 100 other "
            f"test images, {100 * (1 - right.value):.0f} are taken for {positive}."
        )
    if card.temperature != 1.0:
        yield (
            f"Probabilities are calibrated: the logits are divided by the temperature "
            f"{card.temperature:.4g}, which was fitted to the validation images."
        )


def _data(card: ModelCard) -> Iterator[str]:
    origin = card.data
    yield from ("", "## Data", "")
    yield f"Images: {_plain(origin.name)}, fingerprint `{origin.fingerprint}`."
    has_units = any(part.units is not None for part in origin.parts.values())
    header = f" {origin.unit}s |" if has_units else ""
    yield from ("", f"| part | images |{header}", "|---|---|" + ("---|" if has_units else ""))
    for name, part in origin.parts.items():
        units = f" {part.units:,} |" if part.units is not None else ""
        yield f"| {name} | {part.images:,} |{units}"
    if card.training_ranges:
        yield from ("", "99 % of the training images are within these ranges:", "")
        yield from ("| property | from | to |", "|---|---|---|")
        for name, one in card.training_ranges.items():
            scale = "pixels" if name in ("height", "width") else "0 to 255"
            yield f"| {name} ({scale}) | {one.low:.1f} | {one.high:.1f} |"


def _limits(card: ModelCard) -> Iterator[str]:
    yield from ("", "## Limits", "")
    yield f"- {DISCLAIMER}"
    yield from (f"- {_plain(sentence)}" for sentence in card.limits)


def _provenance(card: ModelCard) -> Iterator[str]:
    yield from ("", "## Training", "")
    epochs = f"{card.epochs} epoch{'' if card.epochs == 1 else 's'}"
    yield (
        f"Network {_plain(card.network)}, trained with the backend {card.backend} for {epochs}, "
        f"seed {card.seed}; training ended at {card.trained_at}."
    )
    if card.run_id:
        yield from ("", f"MLflow run `{card.run_id}`.")
    if card.code_commit:
        yield from ("", f"Code commit `{card.code_commit}`, split `{card.data.split_checksum}`.")
    if card.engine_difference is not None:
        yield (
            f"Probabilities of OpenVINO differ from those of Keras by at most "
            f"{card.engine_difference:.1g}."
        )
    if card.versions:
        versions = ", ".join(f"{name} {version}" for name, version in card.versions.items())
        yield from ("", f"Versions: {versions}.")


def _interval(score: Score) -> str:
    if score.low is None or score.high is None:
        return "-"
    return f"{score.low:.3f} to {score.high:.3f}"


def _plain(text: str) -> str:
    """Return ``text`` on one line, with the characters escaped that Markdown and HTML interpret."""
    shown = visible(text)
    return "".join(f"\\{one}" if one in _SPECIAL else one for one in shown)


_SPECIAL = frozenset("\\`*_[]<>|#")
