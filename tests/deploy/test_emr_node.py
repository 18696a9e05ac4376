"""``node.sh`` with a fake program ``aws`` that stores its objects in a folder."""

import os
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from data.project import ROOT
from deploy.aws import storage
from experiments.config import SparkConfig
from experiments.spark.shipping import executor_python
from tests.deploy.aws import REGION

NODE = Path(ROOT / "deploy" / "aws" / "emr" / "node.sh")


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """Folder of the fake S3, with an environment archive."""
    bucket = tmp_path / "s3"
    (bucket / "run").mkdir(parents=True)
    tools = tmp_path / "tools"
    tools.mkdir()
    script = """#!/bin/bash
        set -eu; shift 3  # s3 cp --no-progress
        if [ "$1" = --recursive ]; then mkdir -p "$3"; cp -r "$2/." "$3"
        elif [ "$2" = - ]; then cat "$1"; else cp "$1" "$2"; fi
    """
    (tools / "aws").write_text(script)
    # These tests use shell scripts as run_experiment.py.
    (tools / "python").write_text('#!/bin/bash\nexec bash "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    with tarfile.open(bucket / "environment.tar.gz", "w:gz") as archive:
        archive.add(tools / "python", "bin/python")
    return bucket


def put_code(bucket: Path, program: str) -> dict[str, str]:
    """Upload ``program`` as the code of the run; return the environment variables of the node."""
    code = bucket.parent / "run_experiment.py"
    code.write_text(program)
    with tarfile.open(bucket / "run" / "code.tar.gz", "w:gz") as archive:
        archive.add(code, code.name)
    return {
        "PATH": f"{bucket.parent / 'tools'}:/usr/bin:/bin",
        "SPARKDL_BENCH_HOME": str(bucket.parent / "home"),
        "SPARKDL_BENCH_KEEP_SECONDS": "0.2",
    }


def call_node(bucket: Path, *words: str, program: str = "") -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", str(NODE), *words],
        env=put_code(bucket, program),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def run_node(
    bucket: Path, seconds: int, program: str, *options: str
) -> subprocess.CompletedProcess:
    environment = str(bucket / "environment.tar.gz")
    assert call_node(bucket, "install", environment).returncode == 0
    given = options or ("--backend", "two words")
    words = ("run", str(bucket / "run"), REGION, str(seconds), *given)
    return call_node(bucket, *words, program=program)


def test_the_record_is_kept_and_options_arrive_whole(bucket: Path) -> None:
    program = 'echo "$2" "$AWS_REGION"; echo seen >&2; touch record/mlflow.db'
    done = run_node(bucket, 30, program)
    assert done.returncode == 0, done.stderr
    record = bucket / "run" / "record"
    assert (record / "records.jsonl").read_text() == f"two words {REGION}\n"
    assert (record / "console.log").read_text().startswith("seen\n")
    assert (record / "mlflow.db").exists()
    assert list((bucket.parent / "home").glob("run.*")) == []


def test_a_failure_keeps_the_record_and_its_status(bucket: Path) -> None:
    done = run_node(bucket, 30, "echo what it said >&2; exit 3")
    assert done.returncode == 3
    assert (bucket / "run" / "record" / "console.log").read_text() == "what it said\n"


@pytest.mark.slow
def test_nothing_runs_for_longer_than_its_seconds(bucket: Path) -> None:
    done = run_node(bucket, 1, "exec sleep 50")
    assert done.returncode == 124
    assert "stopped at the limit of 1 s" in (bucket / "run" / "record" / "console.log").read_text()


def test_a_cluster_that_was_there_is_lent_the_environment(bucket: Path) -> None:
    environment = str(bucket / "environment.tar.gz")
    words = ("lend", environment, str(bucket / "run"), REGION, "30", "--backend", "elephas")
    for _ in range(2):  # a cluster is used again
        done = call_node(bucket, *words, program='echo "$@"')
        assert done.returncode == 0, done.stderr
    given = (bucket / "run" / "record" / "records.jsonl").read_text().split()
    assert given[2:4] == ["--environment", "archive"]
    assert Path(given[5]).read_bytes() == Path(environment).read_bytes()


def test_executors_of_a_new_cluster_start_the_launcher(bucket: Path) -> None:
    """The interpreter behind the launcher needs the library path that the launcher sets."""
    assert run_node(bucket, 30, 'echo "$@"', "--backend", "elephas").returncode == 0
    given = (bucket / "run" / "record" / "records.jsonl").read_text().split()
    launcher = bucket.parent / "home" / "environment" / "bin" / "python"
    assert os.access(launcher, os.X_OK)
    python = f"spark.environment_python={launcher}"
    assert given == ["--backend", "elephas", "--environment", "image", "--set", python]
    config = SparkConfig(master="yarn", environment="image", environment_python=str(launcher))
    assert executor_python(config) == str(launcher)


@pytest.mark.parametrize(
    "own",
    [("--environment", "path"), ("--environment=path",), ("--set", "spark.environment=path")],
)
def test_an_environment_that_the_user_names_is_left_alone(bucket: Path, own: list[str]) -> None:
    assert run_node(bucket, 30, 'echo "$@"', *own).returncode == 0
    assert (bucket / "run" / "record" / "records.jsonl").read_text().split() == list(own)


@pytest.mark.slow
def test_the_record_is_brought_away_while_it_runs(bucket: Path) -> None:
    """A node that is lost cannot upload anything more."""
    kept = bucket / "run" / "record" / "console.log"
    assert call_node(bucket, "install", str(bucket / "environment.tar.gz")).returncode == 0
    environment = put_code(bucket, "echo begun >&2; sleep 3; echo over >&2")
    words = ["run", str(bucket / "run"), REGION, "40", "--backend", "elephas"]
    silent = subprocess.DEVNULL
    node = subprocess.Popen(
        ["bash", str(NODE), *words], env=environment, stdout=silent, stderr=silent
    )
    seen = ""
    while node.poll() is None and not seen:
        seen = kept.read_text() if kept.is_file() else ""
        time.sleep(0.05)
    assert seen == "begun\n"
    assert node.wait(20) == 0
    assert kept.read_text() == "begun\nover\n"


def test_records_that_wait_for_their_server_are_brought_away(bucket: Path) -> None:
    program = "mkdir -p work/outbox/r1; echo content >work/outbox/r1/parcel.json"
    assert run_node(bucket, 30, program).returncode == 0
    with tarfile.open(bucket / "run" / "record" / storage.OUTBOX) as archive:
        archive.extractall(bucket, filter="data")
    assert (bucket / "outbox" / "r1" / "parcel.json").read_text() == "content\n"


def test_without_such_records_there_is_no_archive_of_them(bucket: Path) -> None:
    assert run_node(bucket, 30, "mkdir -p work/outbox").returncode == 0
    assert not (bucket / "run" / "record" / storage.OUTBOX).exists()
