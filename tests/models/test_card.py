from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.config import ImageConfig
from models.card import DISCLAIMER, DataOrigin, ModelCard, Part, Range, Score, Threshold
from models.card_text import render
from models.image_measures import measure


def card(**values: Any) -> ModelCard:
    content: dict[str, Any] = {
        "name": "cells-elephas",
        "class_names": ("healthy", "sick"),
        "positive_class": "sick",
        "image": ImageConfig(),
        "data": DataOrigin(
            name="malaria",
            fingerprint="abc",
            split_checksum="def",
            synthetic=False,
            unit="patient",
            parts={"train": Part(images=1200, units=30), "test": Part(images=300, units=8)},
        ),
        "backend": "elephas",
        "network": "small_cnn",
        "seed": 0,
        "epochs": 1,
        "trained_at": "2026-11-27T10:00:00+00:00",
    }
    return ModelCard(**{**content, **values})


def test_card_is_read_as_it_was_written(tmp_path: Path) -> None:
    one = card(threshold=Threshold(value=0.3, rule="youden"), temperature=1.5)
    one.write(tmp_path)
    assert ModelCard.read(tmp_path) == one


def test_text_says_what_the_threshold_means() -> None:
    threshold = Threshold(
        value=0.31,
        rule="sensitivity=0.95",
        sensitivity=Score(value=0.95, low=0.9, high=0.98),
        specificity=Score(value=0.88),
    )
    scores = {"f1": Score(value=0.9, low=0.8, high=0.95), "roc_auc": Score(value=0.97)}
    text = render(card(threshold=threshold, scores=scores, run_id="42", limits=("One site.",)))
    assert text.count(DISCLAIMER) == 2
    assert "'sick' if its probability is at least 0.31" in text
    assert "by the rule `sensitivity=0.95`" in text
    assert "Of 100 test images of 'sick', 95 are found" in text
    assert "of 100 other test images, 12 are taken for 'sick'" in text
    assert "| F1 | 0.900 | 0.800 to 0.950 |\n| ROC AUC | 0.970 | - |" in text
    assert "| train | 1,200 | 30 |" in text
    assert "- One site.\n" in text
    assert "MLflow run `42`" in text


def test_default_decision_has_no_threshold_to_explain() -> None:
    text = render(card())
    assert "The decision is the most probable class.\n" in text
    assert "calibrated" not in text


def test_parts_without_patients_have_no_column_for_them() -> None:
    origin = card().data.model_copy(update={"unit": "image", "parts": {"train": Part(images=7)}})
    text = render(card(data=origin))
    assert "| part | images |\n|---|---|\n| train | 7 |\n" in text
    assert "intervals over distinct images" in text


def test_names_cannot_add_markup() -> None:
    text = render(card(class_names=("healthy", "<b>|x_`\n#"), positive_class="<b>|x_`\n#"))
    assert "\\<b\\>\\|x\\_\\`\\\\n\\#" in text
    assert "<b>" not in text.replace("\\<b\\>", "")


def test_long_text_ends_after_a_line_with_a_reference() -> None:
    names = tuple(f"class {number:04}" for number in range(1000))
    limits = tuple(f"Limit {number} of the model." for number in range(500))
    long = card(class_names=names, positive_class=names[0], limits=limits)
    assert "and 950 more" in render(long)
    text = render(long, 5000)
    assert len(text) <= 5000
    kept, _, rest = text.rpartition("\n\n")
    assert kept.endswith("of the model.")
    assert rest == "The complete card is in the file model_card.md of the run."
    assert render(card(), 5000) == render(card())


def test_ranges_have_their_units() -> None:
    ranges = {"height": Range(low=48, high=96), "contrast": Range(low=1.25, high=80)}
    text = render(card(training_ranges=ranges))
    assert "| height (pixels) | 48.0 | 96.0 |" in text
    assert "| contrast (0 to 255) | 1.2 | 80.0 |" in text


def test_measures_are_those_of_a_plain_computation() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
    found = measure(pixels)
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    assert found["brightness"] == pytest.approx(luma.mean(axis=(1, 2)))
    assert found["contrast"] == pytest.approx(luma.std(axis=(1, 2)), rel=1e-5)
    assert found["green"] == pytest.approx(pixels[..., 1].mean(axis=(1, 2)))
    grey = measure(pixels[..., :1])
    assert set(grey) == {"brightness", "contrast"}
    assert grey["brightness"] == pytest.approx(pixels[..., 0].mean(axis=(1, 2)))
