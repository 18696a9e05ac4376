"""The artifact of a network: its card, the digests of its training images, its registration."""

from pathlib import Path

import numpy as np
import pytest

from backends import create
from data.prepared import PreparedData
from experiments.config import Experiment, RunPlan
from experiments.records import FINISHED
from experiments.runs.closing import gather, pending_run
from experiments.runs.model_card import card_of
from experiments.runs.outcome import Outcome
from experiments.runs.preparation import features_folder, images_folder
from experiments.runs.saving import Engines, save
from experiments.runs.task import Result, task_of
from experiments.runs.training_images import pixels_of, ranges, write_digests
from experiments.tracking.pending_run import send
from experiments.tracking.recorder import Recorder
from models import training_set
from models.card import ModelCard
from models.config import BackboneConfig
from tests.conftest import shared

METRICS = {
    "test.f1": 0.9,
    "test.f1_low": 0.8,
    "test.f1_high": 0.95,
    "test.sensitivity": 0.93,
    "test.sensitivity_low": 0.7,
    "test.sensitivity_high": 0.99,
    "decision.threshold": 0.31,
    "decision.temperature": 1.4,
}


def plan(**values: object) -> RunPlan:
    experiment = Experiment.model_validate({"name": "carded", "positive_class": "all", **values})
    return RunPlan(experiment=experiment, backend="keras_local", seed=0)


@pytest.fixture(scope="module")
def network(prepared: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a worker process with an untrained network in both forms."""

    def make(folder: Path) -> None:
        save(task_of(plan(), prepared, create("keras_local")).build_model(), prepared, folder)

    return shared(tmp_path_factory, "untrained", make)


def outcome() -> Outcome:
    return Outcome(
        status=FINISHED,
        result=Result(status="finished"),
        metrics=dict(METRICS),
        tags={"decision.rule": "youden"},
        notes=["Something to know."],
    )


@pytest.mark.slow
def test_card_of_a_run_tells_what_is_known(
    network: Path, prepared: PreparedData, tracking_uri: str, tmp_path: Path
) -> None:
    """The run's id is added when the record is sent, where no server had answered before."""
    gather(plan(), prepared, outcome(), network, tmp_path)
    folder = tmp_path / "model" / "artifacts" / "classifier"
    card = ModelCard.read(folder)
    assert (card.threshold.value, card.threshold.rule, card.temperature) == (0.31, "youden", 1.4)
    assert card.threshold.sensitivity == card.scores["sensitivity"]
    assert card.threshold.specificity is None
    assert (card.scores["f1"].low, card.scores["f1"].high) == (0.8, 0.95)
    assert card.limits[0].startswith("The images are synthetic cells")
    assert card.limits[-1] == "Something to know."
    assert {"python", "keras", "openvino", "pillow"} <= set(card.versions)
    assert set(card.training_ranges) == {
        "brightness", "contrast", "red", "green", "blue", "height", "width",
    }  # fmt: skip
    assert card.training_ranges["height"].low == 48
    assert card.run_id == ""
    known = training_set.read(folder)
    splits = ("train", "validation", "test")
    images = [known.images_known(prepared.shard(split).read().pixels).mean() for split in splits]
    assert images == [1, 1, 0]
    patients = [prepared.index(split).column("patient_id").to_pylist() for split in splits]
    assert [known.patients_known(names).mean() for names in patients] == [1, 1, 0]

    recorder = Recorder(tracking_uri, "carded")
    pending = pending_run(
        plan(),
        prepared,
        outcome(),
        tmp_path,
        uri=tracking_uri,
        run_id="",
        start=recorder.run_start("late", {}, {}),
    )
    send(pending, tmp_path, recorder)
    (run,) = recorder.runs({})
    assert ModelCard.read(folder).run_id == run.info.run_id
    (version,) = recorder.client.search_model_versions("name = 'carded-keras_local'")
    assert f"MLflow run `{run.info.run_id}`" in version.description
    assert version.description == (tmp_path / "model_card.md").read_text()
    assert version.description == (folder / "model_card.md").read_text()
    assert (version.tags["decision.threshold"], version.tags["test.f1"]) == ("0.31", "0.9000")
    assert version.tags["data.fingerprint"] == prepared.summary.fingerprint
    assert not version.aliases


def test_ranges_that_cannot_be_read_are_left_out(prepared: PreparedData) -> None:
    gone = prepared.summary.model_copy(update={"source": "/nowhere"})
    found = ranges(PreparedData(prepared.uri, gone, prepared.manifest))
    assert "height" not in found
    assert found["brightness"].low < found["brightness"].high
    assert ranges(PreparedData("/nowhere", gone, prepared.manifest)) == {}


def test_ranges_contain_99_percent_of_the_images(prepared: PreparedData) -> None:
    red = prepared.shard("train").read().pixels[..., 0].mean(axis=(1, 2))
    found = ranges(prepared)["red"]
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(red, (0.5, 99.5))))


def test_digests_are_all_or_nothing(prepared: PreparedData, tmp_path: Path) -> None:
    write_digests(PreparedData("/nowhere", prepared.summary, prepared.manifest), tmp_path)
    assert not list(tmp_path.iterdir())
    by_image = prepared.summary.model_copy(update={"unit": "image"})
    write_digests(PreparedData(prepared.uri, by_image, prepared.manifest), tmp_path)
    known = training_set.read(tmp_path)
    assert len(known.images)
    assert not len(known.patients)


def test_images_of_features_are_found_beside_them(prepared: PreparedData) -> None:
    backbone = BackboneConfig(name="ResNet50", weights="none")
    features = features_folder(prepared.uri, backbone, 0)
    assert images_folder(features, backbone, 0) == prepared.uri
    experiment = plan(model={"name": "transfer", "backbone": backbone.model_dump()}).experiment
    summary = prepared.summary.model_copy(update={"dtype": "float32"})
    found = pixels_of(PreparedData(features, summary, prepared.manifest), experiment)
    assert found is not None
    assert (found.uri, found.dtype) == (prepared.uri, "uint8")
    assert pixels_of(PreparedData("/nowhere", summary, prepared.manifest), experiment) is None


def test_network_without_openvino_form_says_so(prepared: PreparedData) -> None:
    card = card_of(plan(), prepared, outcome(), Engines(reason="OpenVINO cannot represent it"))
    assert card.engine_difference is None
    assert "The network runs on Keras only: OpenVINO cannot represent it." in card.limits


@pytest.mark.slow
def test_difference_from_the_backends_predictions_is_told(
    network: Path, prepared: PreparedData, tmp_path: Path
) -> None:
    task = task_of(plan(), prepared, create("keras_local"))
    model = task.build_model()
    predicted = model.predict(prepared.shard("validation").read().pixels, verbose=0)
    save(model, prepared, tmp_path, predicted)
    exact = Engines.read(tmp_path)
    assert exact.recorded_difference is not None
    assert exact.recorded_difference < 1e-5
    save(model, prepared, tmp_path, predicted + 0.01)
    rough = Engines.read(tmp_path)
    limits = [card_of(plan(), prepared, outcome(), one).limits for one in (exact, rough)]
    told = "The probabilities differ from those of the recorded predictions by up to 0.01"
    assert [any(told in one for one in found) for found in limits] == [False, True]
    assert Engines.read(network).recorded_difference is None
