"""A model is validated on labeled images of another source, by the code that scores a run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from data.config import DataConfig
from experiments.scoring.balanced_accuracy import balanced_accuracy_interval
from experiments.scoring.uncertainty import CONFIDENCE
from models import training_set
from serving import Classifier
from serving.find import find_model
from tests.serving.predict.conftest import NAME, Recorded
from tests.serving.predict.test_command import call

MakeImage = Callable[..., Path]
#: Seeds of the images of each patient, and its class.
PATIENTS = {f"P{n:02}": (range(10 * n, 10 * n + 5), ("all", "hem")[n % 2]) for n in range(12)}


@pytest.fixture
def images(make_image: MakeImage) -> Path:
    """Twelve patients of two classes with five images each, as folders class/patient."""
    for patient, (seeds, name) in PATIENTS.items():
        for seed in seeds:
            make_image(f"images/{name}/{patient}/{seed}.png", seed)
    return Path("images")


def children(recorded: Recorded, parent: str) -> list[Any]:
    client = MlflowClient(recorded.uri)
    return [*client.search_runs(["1"], f"tags.`mlflow.parentRunId` = '{parent}'")]


def validated(*arguments: object) -> tuple[dict[str, Any], str]:
    """Return the part of the JSON output about the validation, and what was printed."""
    status, printed, error = call(*arguments, "-o", "out.json")
    assert status == 0, error
    found: dict[str, Any] = json.loads(Path("out.json").read_text())["external_validation"]
    return found, printed


@pytest.mark.slow
def test_scores_are_those_of_the_images_and_are_recorded_below_the_run(
    images: Path, recorded: Recorded
) -> None:
    found, printed = validated(f"{NAME}/1", images, "--tracking-uri", recorded.uri)
    model = Classifier.open(find_model(f"{NAME}/1", recorded.uri).folder)
    files = sorted(images.rglob("*.png"))
    truth = np.array([file.parts[1] for file in files]) == "all"
    probabilities = model.probabilities([*files])[:, 0]
    guess = probabilities >= 0.3
    scores = found["scores"]
    assert found["images"] == 60
    assert (found["unit"], found["units"]) == ("patient", 12)
    assert scores["f1"] == pytest.approx(f1_score(truth, guess))
    assert scores["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, guess))
    assert scores["roc_auc"] == pytest.approx(roc_auc_score(truth, probabilities), abs=1e-6)
    for name in ("f1", "sensitivity", "specificity", "roc_auc", "balanced_accuracy"):
        assert scores[f"{name}_low"] <= scores[name] <= scores[f"{name}_high"]
        assert f"{scores[name]:.3f} ({scores[f'{name}_low']:.3f}-" in printed

    (run,) = children(recorded, recorded.first)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "external validation: images"
    assert run.data.metrics == pytest.approx(
        {f"external.{name}": value for name, value in scores.items()}
    )
    assert run.data.tags["data.fingerprint"] == found["fingerprint"]
    assert run.data.params["decision.threshold"] == "0.3"
    assert run.data.params["split.unit"] == "patient"
    # Comparisons recognize their runs by this tag.
    assert "backend" not in run.data.tags
    (entry,) = run.inputs.dataset_inputs
    assert entry.dataset.digest == found["fingerprint"][:36]
    folder = Path(run.info.artifact_uri)
    assert (folder / "confusion_matrix.png").read_bytes().startswith(b"\x89PNG")
    predictions = pd.read_parquet(folder / "predictions.parquet")
    assert predictions["label"].tolist() == [0 if is_true else 1 for is_true in truth]
    np.testing.assert_allclose(predictions["probability_all"], probabilities, atol=1e-6)
    counts = [line.split() for line in printed.splitlines() if line.startswith(("all ", "hem "))]
    assert counts[-2:] == [
        ["all", str((truth & guess).sum()), str((truth & ~guess).sum())],
        ["hem", str((~truth & guess).sum()), str((~truth & ~guess).sum())],
    ]


def test_known_images_and_patients_are_reported(
    images: Path, model_folder: Path, tmp_path: Path
) -> None:
    import hashlib

    from data.images import decode

    known = [file.read_bytes() for file in sorted(images.rglob("*.png"))[:7]]
    pixels = [decode(file, 24, 24, "rgb").tobytes() for file in known]
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    digests = (hashlib.sha256(one).digest() for one in pixels)
    training_set.write(folder, digests, ["P03", "unknown"])
    found, printed = validated(folder, images)
    assert found["warnings"] == [
        "7 of 60 images were used to train or to choose the model (for example "
        "'images/all/P00/0.png'): the scores are too good.",
        "1 of 12 patients have names of patients of the training set (for example 'P03'): if they "
        "are the same, the scores are too good.",
    ]
    assert "WARNING: 7 of 60 images" in printed


def test_missing_training_set_is_reported(images: Path, model_folder: Path) -> None:
    found, printed = validated(model_folder, images)
    (warning,) = found["warnings"]
    assert warning.startswith("Images and patients were not compared with the training set: ")
    assert "not recorded: the run that trained this model is unknown" in printed


def test_repeated_images_are_noted_and_the_fingerprint_depends_on_pixels(
    images: Path, model_folder: Path
) -> None:
    before, _ = validated(model_folder, images)
    assert not any("repeat" in note for note in before["notes"])
    again, _ = validated(model_folder, images)
    assert again["fingerprint"] == before["fingerprint"]
    shutil.copy(images / "all/P00/0.png", images / "all/P02/21.png")
    after, _ = validated(model_folder, images)
    assert (
        "1 of 60 images repeat another one, pixel for pixel (for example 'images/all/P00/0.png' = "
        "'images/all/P02/21.png'); all are scored."
    ) in after["notes"]
    assert after["fingerprint"] != before["fingerprint"]


def test_equal_images_are_one_unit_if_no_patient_is_known(
    make_image: MakeImage, model_folder: Path
) -> None:
    for number in range(8):
        name = ("all", "hem")[number % 2]
        make_image(f"x/{name}/a{number}.png", number)
        make_image(f"x/{name}/b{number}.png", number)
    found, printed = validated(model_folder, "x")
    assert (found["images"], found["unit"], found["units"]) == (16, "image", 8)
    assert f"external validation of {NAME}: 16 images\n" in printed
    assert "these images" in printed
    assert "patient.f1" not in found["scores"]


def test_labels_of_a_table_with_mapped_names(
    make_image: MakeImage, model_folder: Path, images: Path
) -> None:
    rows = [
        f"{file.relative_to(images)};{ {'all': 'Leukemia', 'hem': 'Healthy'}[file.parts[1]] };"
        f"{file.parts[2]}\n"
        for file in sorted(images.rglob("*.png"))
    ]
    Path("labels.csv").write_text("Datei;Diagnose;Patient\n" + "".join(rows), encoding="utf-8-sig")
    status, printed, error = call(model_folder, images, "--labels", "labels.csv")
    assert (status, printed) == (2, "")
    assert "Healthy, Leukemia are no classes of the model, which knows all, hem" in error
    mapping = ("--class", "all=Leukemia", "--class", "hem=Healthy")
    found, _ = validated(model_folder, images, "--labels", "labels.csv", *mapping)
    expected, _ = validated(model_folder, images)
    # The names of the images, and therefore the order of the rows, are those of the table.
    assert found["scores"] == pytest.approx(expected["scores"])


def test_one_class_alone_has_the_scores_that_are_defined(images: Path, model_folder: Path) -> None:
    found, _ = validated(model_folder, images, "--class", "hem")
    assert found["images"] == 30
    assert "sensitivity" not in found["scores"]
    assert "roc_auc" not in found["scores"]
    assert "accuracy" in found["scores"]
    assert any("sensitivity, specificity, ROC AUC" in note for note in found["notes"])


def test_unreadable_images_are_left_out_of_the_scores(images: Path, model_folder: Path) -> None:
    (images / "all/P00/0.png").write_bytes(b"broken")
    found, printed = validated(model_folder, images)
    assert found["images"] == 59
    assert "images/all/P00/0.png: not an image" in printed
    for file in images.rglob("*.png"):
        file.write_bytes(b"broken")
    status, printed, _ = call(model_folder, images)
    assert status == 1
    assert "not classified: 60 files" in printed
    assert "external validation" not in printed


def test_scores_and_record_can_be_declined(images: Path, recorded: Recorded) -> None:
    before = len(children(recorded, recorded.second))
    store = ("--tracking-uri", recorded.uri)
    _, printed, _ = call(NAME, images, *store, "--no-scores")
    assert "external validation" not in printed
    _, printed, _ = call(NAME, images, *store, "--no-record")
    assert "external validation" in printed
    assert len(children(recorded, recorded.second)) == before


def test_lines_of_json_end_with_the_scores(images: Path, model_folder: Path) -> None:
    _, printed, _ = call(model_folder, images, "--json", "--no-record")
    *rows, last = map(json.loads, printed.splitlines())
    assert len(rows) == 60
    assert {row["label"] for row in rows} == {"all", "hem"}
    assert last["external_validation"]["images"] == 60


def test_interval_of_the_balanced_accuracy_covers_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    truth, covered, number = 0.8, 0, 300
    for _ in range(number):
        labels = np.repeat(np.arange(24) % 2, 20)
        patients = np.repeat(np.arange(24), 20)
        rate = generator.beta(8, 2, 24)[patients]
        predicted = np.where(generator.random(len(labels)) < rate, labels, 1 - labels)
        low, high = balanced_accuracy_interval(labels, predicted, patients, 2)
        covered += low <= truth <= high
    assert CONFIDENCE - 0.04 <= covered / number <= CONFIDENCE + 0.04


def test_balanced_accuracy_without_errors_or_classes_has_no_interval() -> None:
    labels, patients = np.array([0, 0, 1, 1]), np.array(["a", "b", "c", "d"])
    for truth, guess, who in (
        (labels, labels, patients),
        (labels, 1 - labels, patients),
        (np.zeros(4, int), labels, patients),
        (labels, np.array([0, 1, 1, 0]), np.array(["a"] * 4)),
        (labels, np.zeros(4, int), patients),
    ):
        assert np.isnan(balanced_accuracy_interval(truth, guess, who, 2)).all()


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.long
def test_test_images_of_a_run_give_its_predictions_and_its_scores(
    data_config: DataConfig, cells: Path, tracking_uri: str, tmp_path: Path
) -> None:
    import experiments
    from experiments.own_data.description import SYNTHETIC

    (run,) = experiments.run(
        SYNTHETIC,
        backends=["keras_local"],
        overrides={
            "name": "validated",
            "data": data_config.model_dump(mode="json"),
            "epochs": 2,
            "batch_size": 16,
            "tracking_uri": tracking_uri,
            "warm_up": False,
        },
        work=tmp_path / "work",
    )
    assert run.status == "FINISHED"
    client = MlflowClient(tracking_uri)
    folder = Path(client.get_run(run.run_id).info.artifact_uri)
    expected = pd.read_parquet(folder / "predictions.parquet").set_index("image_id")
    path_of = {file.stem: file for file in cells.rglob("*.bmp")}
    names = find_model(run.run_id, tracking_uri)
    classes = Classifier.open(names.folder).card.class_names
    lines = [
        f"{path_of[str(image)]},{classes[row.label]},{row.patient_id}\n"
        for image, row in expected.iterrows()
    ]
    Path("test.csv").write_text("path,label,patient\n" + "".join(lines))
    found, printed = validated(names.name, "test.csv", "--tracking-uri", tracking_uri)
    rows = json.loads(Path("out.json").read_text())["images"]
    assert len(rows) == len(expected)
    for row in rows:
        one = expected.loc[Path(row["path"]).stem]
        for name in classes:
            column = f"probability_{name}"
            assert row[column] == pytest.approx(one[column], abs=1e-5)
    # No image was used for training, and the scores are those of the run.
    assert found["warnings"] == []
    assert f"recorded below run {run.run_id}" in printed
    for name, value in found["scores"].items():
        if f"test.{name}" in run.metrics:
            assert value == pytest.approx(run.metrics[f"test.{name}"], abs=1e-4), name
    assert {"f1", "f1_low", "roc_auc", "patient.f1", "sensitivity_low"} <= {*found["scores"]}
    (child,) = client.search_runs(
        [client.get_run(run.run_id).info.experiment_id],
        f"tags.`mlflow.parentRunId` = '{run.run_id}'",
    )
    assert child.data.metrics["external.f1"] == pytest.approx(run.metrics["test.f1"], abs=1e-4)
