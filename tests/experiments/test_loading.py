import math
from pathlib import Path

import pytest
from mlflow.utils.validation import _validate_metric_name, _validate_param

import experiments
from experiments.config import RunPlan
from experiments.errors import ExperimentError
from experiments.loading import load, shipped
from experiments.overrides import given
from experiments.record_names import key_parts


@pytest.mark.parametrize("name", shipped())
def test_shipped_experiments_are_valid(name: str) -> None:
    assert load(name).name == name


def test_unknown_key_is_answered_with_line_and_nearest_key(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\npositive_class: sick\nmodel:\n  nam: small_cnn\n")
    with pytest.raises(ExperimentError, match=r"line 4.*'model\.nam'; did you mean 'name'"):
        load(file)


@pytest.mark.parametrize(
    ("options", "assignments", "message"),
    [
        ({"--seed": [0, -1]}, [], "--seed must be 0 or more, not -1"),
        ({"--seed": [2**32]}, [], "--seed must be less than 4,294,967,296, not 4294967296"),
        ({}, ["seeds=[0, -1]"], "--set seeds must be 0 or more, not '-1'"),
        ({}, ["data.split.seed=4294967296"], "--set data.split.seed must be less than 4,294,96"),
        ({"--workers": 0}, [], "--workers must be 1 or more, not 0"),
        ({"--epochs": -1}, [], "--epochs must be 1 or more, not -1"),
        ({}, ["epochs=1e3"], "--set epochs must be a whole number, not '1e3'"),
        ({"--learning-rate": math.nan}, [], "--learning-rate must be a finite number, not nan"),
        ({"--learning-rate": math.inf}, [], "--learning-rate must be a finite number, not inf"),
        ({"--time-limit": math.inf}, [], "--time-limit must be a finite number, not inf"),
        ({"--price-core-hour": -1.0}, [], "--price-core-hour must be 0 or more, not -1"),
        ({}, ["data={image: {height: 0}}"], "--set data: image.height must be 8 or more, not '0'"),
        ({}, ["data.classes=a"], "--set data.classes must be a mapping of keys to values or a lis"),
        ({}, ["data.classes=[a, [b]]"], "--set data.classes must be a string, not"),
        ({}, ["modle.name=x"], "--set modle.name: there is no key 'modle'; did you mean 'model'"),
        ({"--epochs": 2}, ["epochs=3"], "--epochs and --set epochs: the value of 'epochs' can be"),
        ({}, ["data.classes=&a [*a]"], "--set data.classes: '&a [*a]' is not YAML"),
    ],
)
def test_what_was_typed_is_named_as_the_place_of_its_error(
    options: dict[str, object], assignments: list[str], message: str
) -> None:
    with pytest.raises(ExperimentError) as error:
        load("synthetic", given(options, assignments))
    assert str(error.value).startswith(message)
    assert len(str(error.value).splitlines()) == 1


def test_argument_of_python_is_named_as_it_is_called_there() -> None:
    with pytest.raises(ExperimentError, match=r"^seeds must be 0 or more, not -1$"):
        experiments.run("synthetic", backends=["majority"], seeds=[-1])


@pytest.mark.parametrize(
    "name",
    ["1", "001", "1.0", "0x10", "1e3", "yes", "no", "on", "null", "~", "2020-01-01", "12:30"],
)
def test_class_is_called_as_it_was_written(name: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"name: mine\npositive_class: {name}\ndata: {{classes: [{name}, other]}}\n")
    for plan in (
        load(file),
        load("synthetic", given({}, [f"positive_class={name}", f"data.classes=[{name}, other]"])),
        load("synthetic", given({}, [f"data.classes={{{name}: [{name}], other: [b]}}"])),
    ):
        assert plan.positive_class in (name, "all")
        assert list(plan.data.classes or ()) == [name, "other"]


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("a, b", "a, b"),
        ("a: b", "a: b"),
        ("a #b", "a #b"),
        ("#1", "#1"),
        ("'001'", "001"),
        ('"x y"', "x y"),
        ("'a", "'a"),
        ("[a]", "[a]"),
        ("@x", "@x"),
    ],
)
def test_text_of_the_command_line_needs_no_yaml(typed: str, name: str) -> None:
    assert load("synthetic", given({}, [f"positive_class={typed}"])).positive_class == name


def test_null_is_nothing_where_a_key_may_be_left_out_and_options_keep_yaml_types() -> None:
    plan = load(
        "malaria",
        given({}, ["data.layout=null", "backend_options.elephas={frequency: 3, merge: true}"]),
    )
    assert plan.data.layout is None
    assert plan.backend_options == {"elephas": {"frequency": 3, "merge": True}}


def test_key_that_stands_twice_in_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text("name: a\npositive_class: x\nepochs: 2\nepochs: 3\n")
    with pytest.raises(ExperimentError, match="key 'epochs' in line 4 is given twice"):
        load(file)


def test_folder_in_place_of_an_experiment_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="is a folder; name a YAML file in it"):
        load(tmp_path)


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
    monkeypatch.setenv(
        "MLFLOW_TRACKING_URI",
        "http://me:secret@host:5000",  # pragma: allowlist secret
    )
    with pytest.raises(ExperimentError, match=r"^MLFLOW_TRACKING_URI: .* holds a password"):
        load(file)


def test_names_of_classes_become_names_that_mlflow_takes_and_stay_apart() -> None:
    names = ["nevus (benign)", "a$", "a%", "nevus/mole", "../x", "黒色腫", "n" * 250]
    parts = key_parts(names)
    assert parts["nevus (benign)"] == "nevus _benign_"
    assert parts["黒色腫"] == "黒色腫"
    assert len(set(parts.values())) == len(names)
    flat = RunPlan(
        experiment=load("synthetic", {"data.classes": {name: ["all"] for name in names}}),
        backend="majority",
        seed=0,
    ).flat()
    for name in names:
        _validate_metric_name(f"test.roc_auc.{parts[name]}")
        assert flat[f"data.classes.{parts[name]}"] == "['all']"
    for key, value in flat.items():
        _validate_param(key, value)


@pytest.mark.parametrize("name", ["..", "a/../b", "a//b", "a\nb", "n" * 151])
def test_name_of_an_experiment_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ExperimentError, match="name"):
        load("synthetic", {"name": name})


@pytest.mark.parametrize("master", ["spark://", "yarn://x", "http://x:7077", "local[", ""])
def test_master_that_spark_does_not_know_is_refused(master: str) -> None:
    with pytest.raises(ExperimentError, match=r"^--master: '.*' is not a Spark master"):
        load("synthetic", given({"--master": master}))


@pytest.mark.parametrize(
    "master", ["embedded", "local[2]", "spark://a:1,b:2", "yarn", "k8s://https://x:6443", "c:emr"]
)
def test_master_that_spark_knows_is_taken(master: str) -> None:
    assert load("synthetic", {"spark.master": master}).spark.master == master
