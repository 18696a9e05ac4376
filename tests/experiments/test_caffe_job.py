from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.layouts import read_index
from experiments.caffe_job import read_job
from experiments.config import Experiment
from experiments.errors import ExperimentError
from experiments.loading import load
from experiments.overrides import Given, given
from models import build
from tests.data.lmdb_files import write

LAYERS = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 5 } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOURCES = {
    "Data": 'data_param { source: "cells_lmdb" batch_size: 16 }',
    "ImageData": 'image_data_param { source: "list.txt" root_folder: "cells/" batch_size: 16 }',
    "MemoryData": "memory_data_param { batch_size: 16 channels: 3 height: 12 width: 12 "
    'source: "file:cells_lmdb" }',
}


@pytest.fixture(autouse=True)
def job(tmp_path: Path) -> Path:
    """A folder with an LMDB and a list of the same 40 images, and a solver."""
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (12, 12, 3), np.uint8) for _ in range(40)]
    write(tmp_path / "cells_lmdb", [(f"{n}.png", one, n % 2) for n, one in enumerate(images)])
    (tmp_path / "cells" / "images of 2016").mkdir(parents=True)
    lines = []
    for number, image in enumerate(images):
        name = f"images of 2016/{number}.png"
        Image.fromarray(image).save(tmp_path / "cells" / name)
        lines.append(f"{name} {number % 2}\n")
    (tmp_path / "list.txt").write_text("".join(lines))
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.05 max_iter: 12 momentum: 0.9 weight_decay: 0.001 '
        "lr_policy: 'step' gamma: 0.1 stepsize: 8 random_seed: 3"
    )
    return tmp_path


def experiment(job: Path, kind: str, **options: object) -> Experiment:
    transform = (
        "" if kind == "MemoryData" else "transform_param { crop_size: 12 scale: 0.00390625 }"
    )
    (job / "net.prototxt").write_text(
        f'layer {{ name: "in" type: "{kind}" top: "data" top: "label" {transform} '
        f"{SOURCES[kind]} }}{LAYERS}"
    )
    typed = {f"--{name.replace('_', '-')}": value for name, value in options.items()}
    overrides = given({"--positive-class": "1", **typed})
    found = read_job(job / "solver.prototxt", overrides)
    return load(None, {**overrides, **found.overrides})


@pytest.mark.parametrize("kind", SOURCES)
def test_job_is_an_experiment_on_its_own_images(job: Path, kind: str) -> None:
    made = experiment(job, kind)
    assert (made.batch_size, made.epochs, made.seeds) == (16, 5, (3,))
    optimizer = made.optimizer
    assert (optimizer.name, optimizer.learning_rate, optimizer.momentum) == ("sgd", 0.05, 0.9)
    assert optimizer.policy is not None
    assert (optimizer.policy.name, optimizer.policy.steps) == ("step", (8,))
    assert made.data.image.shape == (12, 12, 3)
    index = read_index(made.data)
    assert index.table.num_rows == 40
    assert set(index.table.column("class_name").to_pylist()) == {"0", "1"}
    assert build(made.model, made.data.image.shape, 2, seed=0).output_shape == (None, 2)
    assert "weight_decay 0.001 is not applied" in made.description
    assert "max_iter 12 with batches of 16 is 5 epochs of 40 images" in made.description


def test_network_of_a_database_takes_images_of_any_size(job: Path) -> None:
    """The data layers of databases often give no size: the images determine it."""
    (job / "elsewhere").mkdir()
    for name in ("net.prototxt", "solver.prototxt"):
        text = (job / name).read_text() if (job / name).exists() else ""
        (job / "elsewhere" / name).write_text(text.replace("net.prototxt", "examples/net.prototxt"))
    layer = f'layer {{ name: "in" type: "Data" top: "data" top: "label" {SOURCES["Data"]} }}'
    (job / "elsewhere" / "net.prototxt").write_text(layer + LAYERS)
    (job / "cells_lmdb").rename(job / "elsewhere" / "cells_lmdb")
    overrides = given({"--positive-class": "1"})
    found = read_job(job / "elsewhere" / "solver.prototxt", overrides)
    made = load(None, {**overrides, **found.overrides})
    assert made.model.prototxt == str(job / "elsewhere" / "net.prototxt")
    assert "data.image.height" not in found.overrides
    for shape in ((12, 12, 3), (20, 30, 1)):
        model = build(made.model, shape, 2, seed=0)
        assert model.output_shape == (None, 2)
        assert not any(type(one).__name__ == "Resizing" for one in model.layers)


def test_options_take_precedence(job: Path) -> None:
    made = experiment(
        job, "Data", epochs=2, batch_size=8, seed=[5, 6], data=str(job / "cells"), model="small_cnn"
    )
    assert (made.epochs, made.batch_size, made.seeds) == (2, 8, (5, 6))
    assert made.data.source == str(job / "cells")


def test_list_is_found_as_caffe_finds_it(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are relative to the working folder; the list itself may be elsewhere."""
    (job / "lists").mkdir()
    (job / "list.txt").rename(job / "lists" / "list.txt")
    monkeypatch.chdir(job)
    monkeypatch.setitem(
        SOURCES, "ImageData", SOURCES["ImageData"].replace("list.txt", "lists/list.txt")
    )
    made = experiment(job, "ImageData")
    assert made.epochs == 5
    assert read_index(made.data).table.num_rows == 40


def test_another_optimizer_takes_the_rate_of_the_job(job: Path) -> None:
    experiment(job, "Data")
    overrides = given({"--positive-class": "1"}, ["optimizer.name=adam"])
    found = read_job(job / "solver.prototxt", overrides)
    made = load(None, {**overrides, **found.overrides}).optimizer
    assert (made.name, made.learning_rate, made.momentum) == ("adam", 0.05, 0.0)
    assert made.policy is not None


def test_unknown_number_of_images_needs_epochs(job: Path) -> None:
    with pytest.raises(ExperimentError, match="the number of images is not known: give --epochs"):
        experiment(job, "Data", data=str(job / "cells"))


def test_unusable_sources_are_refused(job: Path) -> None:
    for content, words in {
        "": "is no list of images: each line must be a path",
        "a.png\n": "is no list of images",
        "a.png 1\nb.png one\n": "is no list of images",
        "a.png 1\n": "there is no image cells/a.png, which .* lists",
    }.items():
        (job / "list.txt").write_text(content)
        with pytest.raises(ExperimentError, match=words):
            experiment(job, "ImageData")
    (job / "cells_lmdb" / "data.mdb").unlink()
    with pytest.raises(
        ExperimentError, match="the database does not exist; give the images with --data"
    ):
        experiment(job, "Data")


def test_values_name_their_option(job: Path) -> None:
    experiment(job, "Data")
    found = read_job(job / "solver.prototxt", {"epochs": Given("--epochs", 3)})
    assert {one.place for one in found.overrides.values()} == {"--caffe-solver"}
    assert found.lines[0].startswith(
        "solver.prototxt: network net.prototxt, sgd with learning rate"
    )
