from pathlib import Path

import pytest

from models import OptimizerConfig
from models.caffe.solver import Solver, read_solver
from models.config import PolicyConfig
from models.errors import ModelError

NET = """
layer { name: "cells" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { crop_size: 24 } data_param { source: "cells_lmdb" batch_size: 32 } }
layer { name: "cells" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 24 } data_param { source: "other_lmdb" batch_size: 100 } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
"""
SGD = 'net: "net.prototxt" base_lr: 0.01 max_iter: 100 '


def solver(folder: Path, text: str, net: str = NET) -> Solver:
    (folder / "net.prototxt").write_text(net)
    (folder / "solver.prototxt").write_text(text)
    return read_solver(folder / "solver.prototxt")


def test_settings_of_the_training_phase(tmp_path: Path) -> None:
    found = solver(tmp_path, SGD + "random_seed: 7 iter_size: 2 momentum: 0.9 solver_mode: GPU")
    assert found.net == tmp_path / "net.prototxt"
    assert (found.max_iter, found.batch_size, found.seed) == (100, 64, 7)
    assert found.source.path == "cells_lmdb"
    assert found.optimizer == OptimizerConfig(name="sgd", learning_rate=0.01, momentum=0.9)
    assert found.weights is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("momentum: 0.9 type: 'Nesterov'", {"name": "sgd", "momentum": 0.9, "nesterov": True}),
        ("momentum: 0.9 solver_type: NESTEROV", {"name": "sgd", "momentum": 0.9, "nesterov": True}),
        ("momentum: 0.9 type: 'Adam'", {"name": "adam"}),
        ("type: 'AdaGrad'", {"name": "adagrad"}),
        ("type: 'RMSProp' rms_decay: 0.98", {"name": "rmsprop"}),
        ("lr_policy: 'fixed'", {"name": "sgd"}),
        (
            "lr_policy: 'step' gamma: 0.1 stepsize: 40",
            {"name": "sgd", "policy": {"name": "step", "gamma": 0.1, "steps": [40], "power": 0.0}},
        ),
        (
            "lr_policy: 'multistep' gamma: 0.5 stepvalue: 10 stepvalue: 30",
            {
                "name": "sgd",
                "policy": {"name": "multistep", "gamma": 0.5, "steps": [10, 30], "power": 0.0},
            },
        ),
        (
            "lr_policy: 'poly' power: 2",
            {"name": "sgd", "policy": {"name": "poly", "power": 2, "steps": [100], "gamma": 0.0}},
        ),
        (
            "lr_policy: 'inv' gamma: 0.0001 power: 0.75",
            {"name": "sgd", "policy": {"name": "inv", "gamma": 0.0001, "power": 0.75}},
        ),
    ],
)
def test_optimizers_and_policies(tmp_path: Path, text: str, expected: dict[str, object]) -> None:
    found = solver(tmp_path, SGD + text).optimizer
    assert found == OptimizerConfig.model_validate({"learning_rate": 0.01, **expected})
    assert isinstance(found.policy, PolicyConfig) == ("policy" in expected)


def test_what_differs_is_named(tmp_path: Path) -> None:
    text = "weight_decay: 0.0005 clip_gradients: 35 type: 'Adam' momentum: 0.8 test_iter: 10 "
    net = NET + (
        'layer { name: "conv" type: "Convolution" bottom: "ip" top: "conv" '
        "param { lr_mult: 2 } transform_param { mirror: true } "
        'convolution_param { num_output: 4 weight_filler { type: "bilinear" } } }'
        'layer { name: "last" type: "InnerProduct" bottom: "conv" top: "last" '
        "inner_product_param { num_output: 2 } }"
    )
    found = "\n".join(
        solver(tmp_path, SGD + text + "snapshot: 50 solver_mode: GPU", net).differences
    )
    for words in (
        "weight_decay 0.0005 is not applied",
        "clip_gradients 35.0 is not applied",
        "momentum 0.8 of Adam: Keras has beta_1 0.9",
        "test_iter",
        "snapshot does not apply",
        "solver_mode GPU",
        "lr_mult of layers is not applied",
        "weight_filler bilinear: initial weights are drawn",
        "Layers without a weight_filler get initial weights from a Glorot",
        "--set model.augmentation=true",
        "crop_size does not crop",
    ):
        assert words in found
    plain = solver(tmp_path, SGD + "weights: 'net.caffemodel'", NET.replace("crop_size: 24", ""))
    assert plain.differences == ()
    assert plain.weights == tmp_path / "net.caffemodel"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("net: 'net.prototxt' max_iter: 1 base_lrr: 2", 'has no field named "base_lrr"'),
        ("net: 'net.prototxt' base_lr: 0.1", "says no number of steps: add max_iter"),
        ("max_iter: 1", "names no network: add net or train_net"),
        ("net: 'other.prototxt' max_iter: 1", "other.prototxt cannot be read as a Caffe network"),
        ("net: 'net.prototxt' max_iter: 1", "learning_rate"),
        (SGD + "type: 'AdaDelta'", "has the type AdaDelta, which no backend offers"),
        (SGD + "lr_policy: 'cosine'", "unknown lr_policy 'cosine'; known: fixed, step"),
        (SGD + "lr_policy: 'step' gamma: 0.1", "the lr_policy step needs stepsize"),
        (SGD + "lr_policy: 'multistep' gamma: 0.1", "the lr_policy multistep needs stepvalue"),
    ],
)
def test_unusable_solver_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ModelError) as caught:
        solver(tmp_path, text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_network_without_a_batch_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="says no batch size for training"):
        solver(tmp_path, SGD, NET.replace("batch_size: 32", ""))
