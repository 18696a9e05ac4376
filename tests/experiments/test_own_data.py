"""An experiment on the user's own folder: its name, its settings and its early rejections."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import experiments
from data.config import DataConfig
from data.layouts.listing import list_source
from data.targets import refuse_inside
from data.working_folder import MARK, mark_within
from experiments.config import Experiment
from experiments.errors import ExperimentError
from experiments.loading import load
from experiments.overrides import given
from experiments.own_data.description import OwnData, name_of
from experiments.own_data.positive_class import positive_class
from experiments.own_data.settings import fitting, read_data
from experiments.tracking.pending_run import PendingRun, send
from experiments.tracking.recorder import Recorder, now_ms
from models.application_sizes import APPLICATION_SIZES
from models.config import ModelConfig
from models.input_size import longest_side

PATTERN = r"(p\d+)_"
SHIPPED = ("malaria", "synthetic")


@pytest.fixture(scope="module")
def moles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten patients in two classes, with gray or color photographs of 150 x 200 pixels."""
    folder = tmp_path_factory.mktemp("own") / "moles"
    draw = np.random.default_rng(0)
    for name, patients in (("melanoma", range(4)), ("nevus", range(4, 10))):
        (folder / name).mkdir(parents=True)
        for patient in patients:
            pixels = draw.integers(0, 255, (150, 200, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"p{patient}_1.png")
    return folder


def own(folder: Path, **options: Any) -> Experiment:
    typed = {f"--{name.replace('_', '-')}": value for name, value in options.items()}
    return load(None, given({"--data": str(folder), "--group-pattern": PATTERN, **typed}))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("{here}/my moles/", "my moles"),
        ("{here}/malaria", "malaria-images"),
        ("{here}/synthetic", "synthetic-images"),
        ("s3://bucket/a/cells/", "cells"),
        ("s3://bucket", "bucket"),
        ("s3://bucket/labels.csv", "labels"),
        ("/", "images"),
        ("{here}/a\u202eb", "ab"),
        ("{here}/a\nb", "a_b"),
        ("{here}/labels.csv", "labels"),
        ("{here}/folder.csv", "folder.csv"),
        ("{here}/" + "n" * 200, "n" * 143),
    ],
)
def test_experiment_is_called_after_its_data(source: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").touch()
    (tmp_path / "folder.csv").mkdir()
    found = name_of(source.format(here=tmp_path), SHIPPED)
    assert found == name
    load("malaria", {"name": found})  # accepted by MLflow and as a folder name


def test_point_is_called_after_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slides").mkdir()
    monkeypatch.chdir(tmp_path / "slides")
    assert name_of(".", SHIPPED) == "slides"


def test_other_data_are_never_recorded_as_synthetic(moles: Path) -> None:
    assert load(None).name == "synthetic"
    assert own(moles).name == "moles"
    assert own(moles, name="synthetic").name == "synthetic-images"
    assert load("malaria", given({"--data": str(moles), "--name": "mine"})).name == "mine"
    with pytest.raises(ExperimentError, match="omit --experiment to train on") as error:
        load("synthetic", given({"--data": str(moles)}))
    assert len(str(error.value).splitlines()) == 1
    with pytest.raises(ExperimentError, match="omit --experiment"):
        experiments.run("synthetic", data=moles)


def test_size_colour_and_positive_class_follow_the_images(moles: Path) -> None:
    draft = own(moles)
    assert isinstance(draft, OwnData)
    settled, lines = read_data(draft)
    assert type(settled) is Experiment
    assert settled.data.image.shape == (96, 128, 3)
    assert settled.positive_class == "melanoma"
    assert lines[-1] == (
        "images 96 x 128 rgb (median 150 x 200; --image-size, --color), positive class 'melanoma' "
        "(--positive-class)"
    )


def test_what_is_given_is_not_decided(moles: Path) -> None:
    options = {"image_size": "24x32", "color": "grey", "positive_class": "nevus"}
    settled, lines = read_data(own(moles, **options))
    assert settled.data.image.shape == (24, 32, 1)
    assert settled.positive_class == "nevus"
    assert lines[-1] == "images 24 x 32 grey, positive class 'nevus'"


def test_images_with_equal_channels_are_grey_and_small_ones_keep_their_size(
    tmp_path: Path,
) -> None:
    draw = np.random.default_rng(0)
    for patient in range(8):
        folder = tmp_path / ("yes" if patient % 2 else "no")
        folder.mkdir(exist_ok=True)
        grey = np.repeat(draw.integers(0, 255, (30, 45, 1), np.uint8), 3, axis=2)
        Image.fromarray(grey).save(folder / f"p{patient}_1.png")
    settled, _ = read_data(own(tmp_path))
    assert settled.data.image.shape == (30, 45, 1)
    assert settled.positive_class == "yes"


def test_turned_photographs_have_the_size_in_which_they_are_shown(tmp_path: Path) -> None:
    for patient in range(6):
        folder = tmp_path / ("ill" if patient % 2 else "well")
        folder.mkdir(exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (64, 40), (200, patient, 9)).save(folder / f"p{patient}_.jpg", exif=exif)
    settled, _ = read_data(own(tmp_path))
    assert settled.data.image.shape == (64, 40, 3)


@pytest.mark.parametrize(
    ("size", "longest", "fitted"),
    [
        ((450, 600), 128, (96, 128)),
        ((600, 450), 224, (224, 168)),
        ((145, 140), 128, (128, 120)),
        ((50, 47), 128, (50, 47)),
        ((3, 3000), 128, (8, 128)),
        ((5, 5), 128, (8, 8)),
    ],
)
def test_images_are_scaled_down_with_their_proportions(
    size: tuple[int, int], longest: int, fitted: tuple[int, int]
) -> None:
    assert fitting(*size, longest) == fitted


def test_size_suits_the_model() -> None:
    assert longest_side(ModelConfig()) == 128
    transfer = ModelConfig.model_validate({"name": "transfer", "backbone": "Xception"})
    assert longest_side(transfer) == 299
    assert APPLICATION_SIZES["ResNet50"] == 224


@pytest.mark.parametrize(
    ("counts", "name"),
    [
        ({"akiec": 3, "bcc": 5, "bkl": 10, "df": 1, "mel": 11, "nv": 67}, "mel"),
        ({"benign": 5, "malignant": 9}, "malignant"),
        ({"basal cell carcinoma": 2, "melanoma": 9}, "melanoma"),
        ({"all": 7, "hem": 3}, "all"),
        ({"all": 7, "some": 3}, "some"),
        ({"Parasitized": 5, "Uninfected": 4}, "Parasitized"),
        ({"glioma": 4, "meningioma": 3, "notumor": 2}, "glioma"),
        ({"tumor": 9, "tumor_free": 1}, "tumor"),
        ({"COVID": 9, "non-COVID": 1}, "COVID"),
        ({"Covid": 9, "nonCovid": 1}, "Covid"),
        ({"covid-negative": 1, "covid-positive": 9}, "covid-positive"),
        ({"AbnormalCells": 9, "NormalCells": 1}, "AbnormalCells"),
        ({"NORMAL": 1, "PNEUMONIA": 9}, "PNEUMONIA"),
        ({"not sick": 1, "sick": 2}, "sick"),
        ({"no": 1, "yes": 3}, "yes"),
        ({"0": 1, "1": 9}, "1"),
        ({"case": 4, "control": 2}, "case"),
        ({"cat": 5, "dog": 3}, "dog"),
        ({"cat": 5, "normal": 3}, "cat"),
        ({"healthy": 1, "normal": 3}, "healthy"),
    ],
)
def test_positive_class_is_the_gravest_illness_else_the_rarest(
    counts: dict[str, int], name: str
) -> None:
    assert positive_class(counts) == name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positive_class": "sick"}, "--positive-class: 'sick' is not one of .*: melanoma, nevus"),
        ({"class": ["melanoma", "nevi"]}, "did you mean 'nevus'"),
        ({"group_pattern": "(p"}, "--group-pattern"),
        ({"group_pattern": "(melanoma|nevus)"}, "2 patients cannot fill 3 parts"),
    ],
)
def test_wrong_requests_are_found_in_the_listing(
    moles: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(Exception, match=message):
        read_data(own(moles, **options))


def test_options_set_what_they_say(moles: Path) -> None:
    data = own(
        moles, split="as-is", damaged="accept", **{"class": ["x=melanoma", "nevus"]}, test=0.3
    ).data
    assert (data.split.method, data.damaged, data.split.test) == ("as-is", "accept", 0.3)
    assert data.classes == {"x": ("melanoma",), "nevus": ("nevus",)}
    assert own(moles, split="split.json").data.split.manifest == "split.json"
    for options, message in (
        ({"image_size": "96by128"}, "--image-size 96by128: write 128, or 96x128"),
        ({"image_size": "4"}, "--image-size must be 8 or more, not 4"),
        ({"max_reject_share": 2.0}, "--max-reject-share must be 1 or less"),
        ({"model": "resnet-50"}, "--model transfer --set model.backbone=ResNet50"),
    ):
        with pytest.raises(ExperimentError, match=message):
            own(moles, **options)


def test_working_folder_among_the_images_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "ill").mkdir()
    (tmp_path / "ill" / "a.png").touch()
    (tmp_path / "mlflow.db").touch()
    work = tmp_path / "work"
    mark_within(work, str(tmp_path))
    (work / "data").mkdir()
    (work / "data" / "b.png").touch()
    listing = list_source(str(tmp_path))
    assert listing.files == ("ill/a.png",)
    reasons = dict(listing.left_out)
    assert "working folder" in reasons["work/"]
    assert reasons["mlflow.db"] == "a record of MLflow"
    refuse_inside(work / "data" / "new", str(tmp_path))
    with pytest.raises(Exception, match="is in the folder of the images"):
        refuse_inside(tmp_path / "new", str(tmp_path))
    mark_within(tmp_path / "ill", str(tmp_path))
    assert [path.name for path in (tmp_path / "ill").iterdir()] == ["a.png"]
    assert (work / MARK).exists()
    assert list_source(str(work / "data")).files == ("b.png",)


def test_versions_of_a_model_have_the_same_classes(tracking_uri: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text("{}")
    recorder = Recorder(tracking_uri, "registration")

    def register(*classes: str) -> tuple[str, str, str]:
        run_id = recorder.open("run", {}, {})
        end = PendingRun(
            tracking_uri=tracking_uri,
            run_id=run_id,
            status="FINISHED",
            model_name="own-majority",
            model="model",
            class_names=classes,
            tags={"notes": "before"},
            ended_ms=now_ms(),
        )
        notes = [send(end, tmp_path, recorder) for _ in range(2)]
        assert notes[0] == notes[1]
        (version,) = recorder.client.search_model_versions(f"run_id = '{run_id}'")
        stored = recorder.client.get_run(run_id).data.tags["notes"]
        return version.name, notes[0], stored

    assert register("a", "b") == ("own-majority", "", "before")
    name, note, stored = register("a", "c")
    assert name.startswith("own-majority-")
    assert f"registered as {name}" in note
    assert stored == f"before\n{note}"
    assert register("a", "b")[0] == "own-majority"
    assert register("a", "c")[0] == name


def test_configuration_of_a_folder_is_that_of_its_options() -> None:
    plan = load(None, given({"--data": "x", "--layout": "folders", "--split-by": "image"}))
    assert (
        plan.data.model_dump()
        == DataConfig.model_validate(
            {"source": "x", "layout": "folders", "split": {"by": "image"}}
        ).model_dump()
    )
