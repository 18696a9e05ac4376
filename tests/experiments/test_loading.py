from pathlib import Path

import pytest

from experiments.config import RunPlan
from experiments.errors import ExperimentError
from experiments.loading import load, shipped


@pytest.mark.parametrize("name", shipped())
def test_shipped_experiments_are_valid(name: str) -> None:
    assert load(name).name == name


def test_unknown_key_is_answered_with_line_and_nearest_key(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\npositive_class: sick\nmodel:\n  nam: small_cnn\n")
    with pytest.raises(ExperimentError, match=r"line 4.*'model\.nam'; did you mean 'name'"):
        load(file)


def test_override_is_named_as_the_place_of_its_error() -> None:
    with pytest.raises(ExperimentError, match=r"--set epochs: epochs: Input should be"):
        load("synthetic", {"epochs": 0})


def test_batch_below_workers_is_refused() -> None:
    with pytest.raises(ExperimentError, match="batch_size 1 is below the number of workers 2"):
        load("synthetic", {"batch_size": 1})


def test_batch_that_workers_cannot_share_is_answered_with_one_they_can() -> None:
    with pytest.raises(ExperimentError, match="use 63 or 66"):
        load("synthetic", {"batch_size": 64, "workers": 3})


def test_missing_file_names_the_shipped_experiments() -> None:
    with pytest.raises(ExperimentError, match=r"did you mean 'malaria'.*synthetic"):
        load("malria")


def test_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("name: [unclosed\n")
    with pytest.raises(ExperimentError, match="is not YAML"):
        load(file)


def test_plan_is_flattened_with_dots() -> None:
    plan = RunPlan(experiment=load("synthetic", {"workers": 1}), backend="elephas", seed=3)
    flat = plan.flat()
    assert flat["workers"] == "1"
    assert flat["data.image.height"] == "48"
    assert (flat["backend"], flat["seed"]) == ("elephas", "3")
