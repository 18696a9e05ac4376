"""The decision threshold and the temperature follow from validation images alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_curve

from data.prepared import PreparedData
from experiments.config import Experiment, RunPlan
from experiments.errors import ExperimentError
from experiments.loading import load
from experiments.runs.deciding import Decision, settle
from experiments.runs.task import PREDICTIONS, VALIDATION_PREDICTIONS
from experiments.scoring.temperature import fit_temperature
from experiments.scoring.threshold import choose
from experiments.threshold_rule import Rule, rule_of
from models.decision import decide, scaled


def sample(seed: int, images: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Return truth and probabilities with many ties."""
    generator = np.random.default_rng(seed)
    truth = generator.random(images) < 0.3
    scores = truth + generator.normal(0, 0.8, images)
    return truth, np.round(1 / (1 + np.exp(-2 * scores + 1)), 2)


def shares(truth: np.ndarray, certainty: np.ndarray, threshold: float) -> tuple[float, float]:
    """Return sensitivity and specificity."""
    positive = certainty >= threshold
    return positive[truth].mean(), (~positive[~truth]).mean()


@pytest.mark.parametrize("seed", range(5))
def test_youden_index_is_the_largest_of_the_roc_curve(seed: int) -> None:
    truth, certainty = sample(seed)
    threshold = choose(Rule("youden"), truth, certainty)
    assert threshold is not None
    false, true, _ = roc_curve(truth, certainty)
    assert sum(shares(truth, certainty, threshold)) - 1 == pytest.approx((true - false).max())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("sensitivity", value) for value in (0.5, 0.9, 0.95, 1.0)),
        *(("specificity", value) for value in (0.5, 0.9, 0.95)),
    ],
)
def test_aim_is_reached_with_the_best_of_the_other(seed: int, kind: str, value: float) -> None:
    truth, certainty = sample(seed)
    threshold = choose(rule_of(f"{kind}={value}"), truth, certainty)
    assert threshold is not None
    own = ["sensitivity", "specificity"].index(kind)
    reached = shares(truth, certainty, threshold)
    assert reached[own] >= value
    grid = [shares(truth, certainty, one) for one in np.arange(0, 1.005, 0.005)]
    others = [pair[1 - own] for pair in grid if pair[own] >= value]
    assert reached[1 - own] == max(others)


def test_threshold_lies_between_probabilities_and_never_is_that_of_the_most_probable() -> None:
    truth, certainty = np.array([False, True]), np.array([0.4, 0.6])
    threshold = choose(Rule("youden"), truth, certainty)
    assert threshold is not None
    assert 0.5 < threshold < 0.5 + 1e-9
    three = np.array([[0.55, 0.45, 0.0], [0.3, 0.4, 0.3]])
    assert decide(three, 1, 0.5).tolist() == [0, 1]
    assert decide(three, 1, 0.42).tolist() == [1, 0]
    assert decide(three, 1, 0.39).tolist() == [1, 1]


def test_highest_threshold_is_selected_where_no_specificity_is_reached() -> None:
    truth, certainty = np.array([True, False, False, True]), np.array([0.2, 0.3, 0.9, 0.9])
    threshold = choose(rule_of("specificity=0.9"), truth, certainty)
    assert threshold == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("truth", "certainty"),
    [
        ([True, True], [0.2, 0.4]),
        ([False, False], [0.2, 0.4]),
        ([True, False], [0.3, 0.3]),
        ([], []),
    ],
)
@pytest.mark.parametrize("rule", ["youden", "sensitivity=0.9", "specificity=0.9"])
def test_images_that_determine_no_threshold_give_none(
    truth: list[bool], certainty: list[float], rule: str
) -> None:
    assert choose(rule_of(rule), np.array(truth, bool), np.array(certainty)) is None


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("0.50", "0.5"),
        ("youden", "youden"),
        ("Sensitivity = .95", "sensitivity=0.95"),
        ("specificity=1", "specificity=1.0"),
        (0.3, "0.3"),
    ],
)
def test_rule_is_written_in_one_form(text: object, written: str) -> None:
    assert load("synthetic", {"threshold": text}).threshold == written


@pytest.mark.parametrize("text", ["1", "0", "nan", "youden=1", "f1", "sensitivity", "recall=0.9"])
def test_unknown_rule_is_answered_with_the_known_ones(text: str) -> None:
    with pytest.raises(ExperimentError, match=f"'{text}' is not a rule .* youden, a number"):
        load("synthetic", {"threshold": text})


@pytest.mark.parametrize("temperature", [0.5, 1.7])
@pytest.mark.parametrize("classes", [2, 4])
def test_temperature_is_recovered(temperature: float, classes: int) -> None:
    generator = np.random.default_rng(0)
    true = generator.dirichlet(np.ones(classes), 20_000)
    labels = (true.cumsum(axis=1) < generator.random((20_000, 1))).sum(axis=1)
    found = fit_temperature(labels, scaled(true, 1 / temperature))
    assert found == pytest.approx(temperature, rel=0.03)


def test_images_that_determine_no_temperature_give_none() -> None:
    sure = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert fit_temperature(np.array([0, 1]), sure) is None  # all are right
    assert fit_temperature(np.array([1, 0]), sure) is None  # all are wrong
    assert fit_temperature(np.array([0, 0]), sure) is None


def plan(data: PreparedData, split: str = "test", **values: object) -> RunPlan:
    experiment = Experiment.model_validate(
        {"name": "x", "positive_class": data.class_names[0], **values}
    )
    return RunPlan.model_validate(
        {"experiment": experiment, "backend": "keras_local", "seed": 0, "evaluation_split": split}
    )


def write(data: PreparedData, folder: Path, name: str, split: str, seed: int = 0) -> pd.DataFrame:
    """Write predictions that are too sure of themselves."""
    frame = data.index(split).select(["image_id", "patient_id", "group", "label"]).to_pandas()
    generator = np.random.default_rng(seed)
    logits = 3 * (1 - 2 * frame["label"].to_numpy()) + generator.normal(0, 4, len(frame))
    frame[f"probability_{data.class_names[0]}"] = 1 / (1 + np.exp(-2 * logits))
    frame[f"probability_{data.class_names[1]}"] = 1 / (1 + np.exp(2 * logits))
    frame.to_parquet(folder / name)
    return frame


def test_rule_and_temperature_are_taken_from_validation_images(
    prepared: PreparedData, tmp_path: Path
) -> None:
    test = write(prepared, tmp_path, PREDICTIONS, "test")
    validation = write(prepared, tmp_path, VALIDATION_PREDICTIONS, "validation", seed=1)
    asked = plan(prepared, threshold="sensitivity=0.9", calibration="temperature")
    found = settle(asked, prepared, tmp_path)
    assert found.temperature > 1.2
    first = f"probability_{prepared.class_names[0]}"
    columns = [first, f"probability_{prepared.class_names[1]}"]
    kept = pd.read_parquet(tmp_path / PREDICTIONS)
    expected = scaled(test[columns].to_numpy(), found.temperature)
    np.testing.assert_allclose(kept[columns], expected)
    assert kept.drop(columns=columns).equals(test.drop(columns=columns))
    chosen_on = scaled(validation[columns].to_numpy(), found.temperature)[:, 0]
    truth = validation["label"].to_numpy() == 0
    reached = shares(truth, chosen_on, found.threshold)
    assert reached[0] >= 0.9
    assert (found.scores["sensitivity"], found.scores["specificity"]) == pytest.approx(reached)
    # The test images have no part in it.
    write(prepared, tmp_path, PREDICTIONS, "test", seed=7)
    write(prepared, tmp_path, VALIDATION_PREDICTIONS, "validation", seed=1)
    again = settle(asked, prepared, tmp_path)
    assert (again.threshold, again.temperature) == (found.threshold, found.temperature)


def test_default_changes_no_prediction(prepared: PreparedData, tmp_path: Path) -> None:
    write(prepared, tmp_path, PREDICTIONS, "test")
    write(prepared, tmp_path, VALIDATION_PREDICTIONS, "validation")
    before = (tmp_path / PREDICTIONS).read_bytes()
    found = settle(plan(prepared), prepared, tmp_path)
    assert (found.threshold, str(found.rule), found.temperature) == (0.5, "0.5", 1.0)
    assert found.notes == ()
    assert (tmp_path / PREDICTIONS).read_bytes() == before


def test_backend_without_validation_predictions_has_the_default_and_a_note(
    prepared: PreparedData, tmp_path: Path
) -> None:
    write(prepared, tmp_path, PREDICTIONS, "test")
    asked = plan(prepared, threshold="youden", calibration="temperature")
    found = settle(asked, prepared, tmp_path)
    assert (found.threshold, str(found.rule), found.temperature) == (0.5, "0.5", 1.0)
    text = " ".join(found.notes)
    assert "not calibrated" in text
    assert "The decision threshold is 0.5: the rule 'youden' needs validation images" in text


def test_trial_of_a_search_is_judged_at_the_default(prepared: PreparedData, tmp_path: Path) -> None:
    write(prepared.without_test(), tmp_path, PREDICTIONS, "test")
    asked = plan(prepared, "validation", threshold="youden", calibration="temperature")
    assert settle(asked, prepared, tmp_path) == Decision()
