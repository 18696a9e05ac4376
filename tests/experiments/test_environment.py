import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data.project import ROOT
from experiments.cli.run import app
from experiments.errors import ExperimentError
from experiments.loading import load
from experiments.runs.failures import plain_reason
from experiments.spark.addresses import driver_address
from experiments.spark.environment import (
    Environment,
    EnvironmentDifferenceError,
    _no_python,
    differences,
    required,
)
from experiments.spark.session import settings
from experiments.spark.shipping import archive_settings, executor_python

OWN = {"keras": "3.15.1", "numpy": "1.26.4"}
ARCHIVE = ["--master", "spark://127.0.0.1:7077", "--environment", "archive"]
ARCHIVE += ["--environment-archive"]
MASTER = {"spark.master": "spark://127.0.0.1:7077"}


def executor(name: str, python: str = "3.11.9", **packages: str) -> Environment:
    return Environment(name, python, packages)


def test_missing_and_other_versions_are_listed_by_executor() -> None:
    found = [
        executor("10.0.0.2", keras="3.15.1", numpy="1.26.4", extra="1"),
        executor("10.0.0.3", numpy="2.0.0"),
        executor("10.0.0.4", python="3.10.1", numpy="1.26.4"),
    ]
    told = [str(difference) for difference in differences("3.11.7", OWN, found)]
    assert told == [
        "python: 3.11.7 here, 3.10.1 on 10.0.0.4",
        "keras: 3.15.1 here, missing on 10.0.0.3, 10.0.0.4",
        "numpy: 1.26.4 here, 2.0.0 on 10.0.0.3",
    ]
    assert differences("3.11.7", OWN, found[:1]) == []


def test_what_a_package_requires_counts_as_used() -> None:
    used = required(["Elephas", "tensorflow_cpu"])
    assert {"elephas", "tensorflow-cpu", "protobuf", "h5py", "flask"} <= used
    assert not {"mlflow", "mypy"} & used


def test_whole_list_reaches_the_record() -> None:
    text = "other packages:\n" + "\n".join(f"  package-{n}: 1 here, 2 there" for n in range(30))
    assert plain_reason(EnvironmentDifferenceError(text)) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('java.io.IOException: Cannot run program "/a/python": error=2', "no Python at /a/python"),
        (
            "PySparkRuntimeError: [PYTHON_VERSION_MISMATCH] Python in worker has different "
            "version (3, 9) than that in driver 3.11",
            "executors have Python 3.9",
        ),
        ("Error from python worker:\nModuleNotFoundError: No module named 'pyspark'", "pyspark"),
    ],
)
def test_python_that_does_not_start_is_explained(text: str, told: str) -> None:
    reason = _no_python(text)
    assert reason is not None
    assert told in reason
    assert "--environment archive" in reason
    assert _no_python("Py4JJavaError: something else") is None


def test_driver_listens_where_the_master_reaches_it() -> None:
    assert driver_address("embedded") == "127.0.0.1"
    assert driver_address("local[2]") == "127.0.0.1"
    assert driver_address("spark://nowhere.invalid:1,127.0.0.9:7077") == "127.0.0.1"
    assert driver_address("yarn") is None
    with pytest.raises(ExperimentError, match=r"--master spark://nowhere\.invalid:7077"):
        driver_address("spark://nowhere.invalid:7077")


def test_python_of_the_executors_follows_the_environment(tmp_path: Path) -> None:
    archive = tmp_path / "environment.tar.gz"
    values = {"spark.environment": "archive", "spark.environment_archive": str(archive)}
    spark = load("synthetic", MASTER | values).spark
    assert executor_python(spark) == "./environment/bin/python"
    assert archive_settings(spark, tmp_path) == {
        "spark.archives": f"{archive.as_uri()}#environment"
    }
    image = load("synthetic", MASTER | {"spark.environment": "image"}).spark
    assert executor_python(image) == "/opt/sparkdl/bin/python"
    assert archive_settings(image, tmp_path) == {}


def test_executors_of_this_machine_search_the_folders_of_the_user_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    here = settings(load("synthetic").spark, 2, tmp_path, {})
    first, *_, last = here["spark.executorEnv.PYTHONPATH"].split(os.pathsep)
    assert (first, last) == (str(ROOT), str(tmp_path))
    there = settings(load("synthetic", {"spark.master": "yarn"}).spark, 2, tmp_path, {})
    assert "spark.executorEnv.PYTHONPATH" not in there


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--environment", "archive"], "must be given together"),
        (["--environment", "image"], "for executors on other machines"),
        (["--environment", "conda"], "--environment must be 'path', 'archive' or 'image'"),
        (
            [*ARCHIVE, "not-there.tar.gz"],
            "there is no archive not-there.tar.gz: make it with 'sparkdl-bench deploy pack",
        ),
        (
            [*ARCHIVE, "not-there.7z"],
            "Spark recognizes archives by their names",
        ),
    ],
)
def test_request_that_cannot_work_is_refused_at_once(
    options: list[str], told: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, [*options, "--work", str(tmp_path / "work")])
    assert result.exit_code == 2
    assert told in " ".join(result.output.split())
    assert not (tmp_path / "work").exists()
