import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, f1_score, roc_auc_score

from experiments.scoring.caveats import few_examples, one_class
from experiments.scoring.metrics import f1_interval, score

CLASSES = ("benign", "malignant")


def table(labels: list[int], positive: list[float], patients: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": [str(number) for number in range(len(labels))],
            "patient_id": patients,
            "label": labels,
            "probability_benign": 1 - np.array(positive),
            "probability_malignant": positive,
        }
    )


def random_table(patients: int, images: int) -> pd.DataFrame:
    """Return predictions in which all images of a patient share one difficulty, as in real data."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(patients) % 2, images)
    difficulty = np.repeat(generator.normal(0, 1.2, patients), images)
    score_ = (labels * 2 - 1) + difficulty + generator.normal(0, 0.3, patients * images)
    names = np.repeat([f"p{number}" for number in range(patients)], images)
    return table(labels.tolist(), (1 / (1 + np.exp(-score_))).tolist(), names.tolist())


def test_scores_are_those_of_scikit_learn() -> None:
    predictions = random_table(20, 15)
    values = score(predictions, CLASSES, "malignant").values
    truth = predictions["label"]
    guess = predictions["probability_malignant"] > 0.5
    assert values["f1"] == pytest.approx(f1_score(truth, guess))
    expected = brier_score_loss(truth, predictions["probability_malignant"])
    assert values["brier"] == pytest.approx(expected)
    assert values["f1_low"] < values["f1"] < values["f1_high"]


def test_positive_class_decides_what_f1_is_about() -> None:
    predictions = table([1, 1, 1, 0], [0.9, 0.9, 0.2, 0.1], ["a", "b", "c", "d"])
    assert score(predictions, CLASSES, "malignant").values["f1"] == pytest.approx(0.8)
    assert score(predictions, CLASSES, "benign").values["f1"] == pytest.approx(2 / 3)


def test_patient_is_judged_by_the_mean_of_its_images() -> None:
    predictions = table([1, 1, 1, 0], [0.9, 0.8, 0.1, 0.2], ["a", "a", "a", "b"])
    values = score(predictions, CLASSES, "malignant").values
    assert values["sensitivity"] == pytest.approx(2 / 3)
    assert values["patient.sensitivity"] == 1.0


def test_patients_with_images_of_both_classes_are_left_out_and_counted() -> None:
    predictions = table([1, 0, 1, 0], [0.9, 0.2, 0.8, 0.1], ["a", "a", "b", "c"])
    scores = score(predictions, CLASSES, "malignant")
    assert any("1 of 3 patients" in note for note in scores.notes)
    assert scores.values["patient.accuracy"] == 1.0


def test_interval_over_patients_is_wider_than_over_images() -> None:
    predictions = random_table(24, 40)
    labels = predictions["label"].to_numpy()
    guess = (predictions["probability_malignant"] > 0.5).to_numpy().astype(int)
    low, high = f1_interval(labels, guess, predictions["patient_id"].to_numpy(), 1)
    alone = f1_interval(labels, guess, predictions["image_id"].to_numpy(), 1)
    assert high - low > 2 * (alone[1] - alone[0])


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Most 95 % intervals from ten patients contain the population's F1."""
    population = random_table(4000, 4)
    truth = population["label"].to_numpy()
    guess = (population["probability_malignant"] > 0.5).to_numpy().astype(int)
    names = population["patient_id"].to_numpy()
    expected = f1_score(truth, guess)
    generator = np.random.default_rng(1)
    held, tries = 0, 400
    for _ in range(tries):
        chosen = generator.choice(4000, 10, replace=False)
        rows = (chosen[:, None] * 4 + np.arange(4)).ravel()
        low, high = f1_interval(truth[rows], guess[rows], names[rows], 1)
        held += low <= expected <= high
    assert held / tries >= 0.92


@pytest.mark.parametrize(("patients", "said"), [(7, True), (8, False)])
def test_interval_of_few_patients_is_said_to_be_unreliable(patients: int, said: bool) -> None:
    notes = score(random_table(patients, 6), CLASSES, "malignant").notes
    assert any(f"not reliable with {patients} patients" in note for note in notes) is said


def test_what_is_undefined_is_left_out_and_said() -> None:
    predictions = table([0, 0], [0.1, 0.2], ["a", "b"])
    scores = score(predictions, CLASSES, "malignant")
    assert "roc_auc" not in scores.values
    assert any("undefined" in note for note in scores.notes)


def test_more_than_two_classes_have_an_auc_each_against_the_rest() -> None:
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 3, 90)
    chances = generator.dirichlet((1, 1, 1), 90) + 0.5 * np.eye(3)[labels]
    chances /= chances.sum(axis=1, keepdims=True)
    classes = ("melanoma", "nevus", "seborrheic keratosis (benign)")
    predictions = pd.DataFrame(
        {"image_id": np.arange(90), "patient_id": np.arange(90) // 3, "label": labels}
    )
    for number, name in enumerate(classes):
        predictions[f"probability_{name}"] = chances[:, number]
    values = score(predictions, classes, "melanoma").values
    assert values["roc_auc.melanoma"] == pytest.approx(values["roc_auc"])
    last = roc_auc_score(labels == 2, chances[:, 2])
    assert values["roc_auc.seborrheic keratosis _benign_"] == pytest.approx(last)
    without = score(predictions[labels != 1], classes, "melanoma").values
    assert "roc_auc.nevus" not in without
    assert not any(name.startswith("roc_auc.") for name in _two_classes())


def _two_classes() -> dict[str, float]:
    return score(random_table(6, 4), CLASSES, "malignant").values


def test_lesions_are_called_so_and_keep_the_metrics_names() -> None:
    predictions = table([1, 0, 1, 0], [0.9, 0.2, 0.8, 0.1], ["a", "a", "b", "c"])
    scores = score(predictions, CLASSES, "malignant", unit="lesion")
    assert scores.values["patient.accuracy"] == 1.0
    text = " ".join(scores.notes)
    assert "1 of 3 lesions have images of more than one class" in text
    assert "is not reliable with 3 lesions" in text
    assert "patient" not in text


def test_images_are_their_own_groups_unless_they_are_equal() -> None:
    """With the unit image there are no patient metrics, and the interval is over images."""
    predictions = random_table(24, 40)
    labels = predictions["label"].to_numpy()
    guess = (predictions["probability_malignant"] > 0.5).to_numpy().astype(int)
    scores = score(predictions, CLASSES, "malignant", unit="image")
    alone = f1_interval(labels, guess, predictions["image_id"].to_numpy(), 1)
    assert (scores.values["f1_low"], scores.values["f1_high"]) == alone
    assert not any(name.startswith("patient.") for name in scores.values)
    copies = predictions.assign(group=predictions["patient_id"])
    together = score(copies, CLASSES, "malignant", unit="image").values
    assert together["f1_high"] - together["f1_low"] > 2 * (alone[1] - alone[0])
    few = score(table([0, 1, 0], [0.1, 0.9, 0.2], ["a"] * 3), CLASSES, "malignant", unit="image")
    assert "is not reliable with 3 distinct images" in " ".join(few.notes)
    assert "patient" not in " ".join(few.notes)


@pytest.mark.parametrize("split", ["test", "validation"])
def test_one_class_for_all_images_is_said(split: str) -> None:
    predictions = table([0, 1] * 45, [0.2] * 90, [f"p{number}" for number in range(90)])
    notes = score(predictions, CLASSES, "malignant", evaluation_split=split).notes
    assert (
        f"The model predicts 'benign' for all 90 {split} images; its F1 does not reflect what it "
        "has learned."
    ) in notes
    both = table([0, 1] * 45, [0.9] + [0.2] * 89, predictions["patient_id"].tolist())
    assert not any("predicts" in n for n in score(both, CLASSES, "malignant").notes)


def test_one_class_of_several_is_said_for_any_class() -> None:
    sentences = one_class(np.full(30, 2), ("a", "b", "c\n"))
    assert len(sentences) == 1
    assert sentences[0].startswith("The model predicts 'c\\n' for all 30 test images")
    assert one_class(np.array([2, 2, 1]), ("a", "b", "c")) == []


def test_classes_with_few_images_or_patients_are_named_in_one_sentence() -> None:
    labels = np.repeat([0, 1, 2], [9, 50, 50])
    patients = np.array([*range(9), *(100 + np.arange(50)), *(np.arange(50) % 3)])
    classes = ("nevus", "melanoma", "keratosis")
    assert few_examples(labels, patients, classes, "patient") == [
        "Fewer than 10 test images or 10 test patients for 'nevus' (9 images of 9 patients), "
        "'keratosis' (50 images of 3 patients): scores of such classes are uncertain."
    ]
    assert few_examples(labels, patients, classes, "image") == [
        "Fewer than 10 test images for 'nevus' (9 images): scores of such classes are uncertain."
    ]
    assert few_examples(labels[9:] - 1, np.arange(100), classes[1:], "lesion") == []
