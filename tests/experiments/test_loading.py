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


@pytest.mark.parametrize(
    ("key", "value", "advice"),
    [
        ("tracking_uri", "postgresql://a:geheim@b/c", "PGSERVICEFILE"),  # pragma: allowlist secret
        # pragma: allowlist nextline secret
        ("tracking_uri", "http://me:geheim@host:5000", "MLFLOW_TRACKING_PASSWORD"),
        # pragma: allowlist nextline secret
        ("artifacts", "s3://AKIA:geheim@bucket/runs", "AWS_PROFILE"),
        ("prepared", "s3://bucket/data?secret_key=geheim", "AWS_PROFILE"),
        # pragma: allowlist nextline secret
        ("spark.conf", {"spark.ssl.keyPassword": "geheim"}, "SPARK_CONF_DIR"),
        # pragma: allowlist nextline secret
        ("spark.conf", {"spark.authenticate.secret": "geheim"}, "SPARK_CONF_DIR"),
        # pragma: allowlist nextline secret
        ("spark.conf", {"spark.executorEnv.AWS_SECRET_ACCESS_KEY": "geheim"}, "SPARK_CONF_DIR"),
    ],
)
def test_secret_that_would_be_recorded_is_refused_and_not_repeated(
    key: str, value: object, advice: str
) -> None:
    with pytest.raises(ExperimentError, match=advice) as error:
        load("synthetic", {key: value})
    assert "geheim" not in str(error.value)


def test_reference_to_a_secret_is_no_secret() -> None:
    name = "spark.kubernetes.executor.secretKeyRef.AWS_SECRET_ACCESS_KEY"
    conf = load("synthetic", {"spark.conf": {name: "store:secret-key"}}).spark.conf
    assert conf == {name: "store:secret-key"}


def test_record_goes_where_the_command_says_then_mlflows_variable_then_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("name: own\npositive_class: all\ntracking_uri: sqlite:///file.db\n")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert load(file).tracking_uri == "sqlite:///file.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///variable.db")
    assert load(file).tracking_uri == "sqlite:///variable.db"
    said = load(file, {"tracking_uri": "sqlite:///mlflow.db"})
    assert said.tracking_uri == "sqlite:///mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host:5000")
    with pytest.raises(ExperimentError, match=r"^MLFLOW_TRACKING_URI: .* holds a password"):
        load(file)
