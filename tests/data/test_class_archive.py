"""Tests of the archive of Spark's classes."""

import subprocess
from pathlib import Path

import pytest

from data import class_archive
from data.errors import DataError
from data.process_environment import for_spark
from experiments.spark.cluster import embedded_cluster


def test_without_an_archive_there_are_no_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_archive, "_FOLDER", tmp_path)
    assert class_archive.options() == ""


def test_reason_of_java_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_archive, "_FOLDER", tmp_path / "archive")
    broken = tmp_path / "java"
    (broken / "bin").mkdir(parents=True)
    (broken / "bin" / "java").write_text("#!/bin/sh\necho out of order >&2\nexit 3\n")
    (broken / "bin" / "java").chmod(0o755)
    environment = {**for_spark(), "JAVA_HOME": str(broken)}
    monkeypatch.setattr(class_archive, "for_spark", lambda: environment)
    with pytest.raises(DataError, match="could not be created"):
        class_archive.make()
    assert not [*tmp_path.glob("archive/*.jsa")]


@pytest.mark.slow
def test_java_uses_the_archive_for_spark_and_no_other_class_path() -> None:
    archive = class_archive.make()
    assert archive.stat().st_mode & 0o044 == 0o044, "other accounts use it too"
    environment = for_spark()
    spark = Path(environment["SPARK_HOME"])

    def start(class_path: str) -> subprocess.CompletedProcess[str]:
        # Java refuses to start with -Xshare:on if it cannot use the archive.
        use = ["-Xshare:on", f"-XX:SharedArchiveFile={archive}", "-cp", class_path]
        command = [f"{environment['JAVA_HOME']}/bin/java", *use]
        command.append("org.apache.spark.deploy.master.Master")
        return subprocess.run(
            [*command, "--help"], env=environment, capture_output=True, text=True, check=False
        )

    assert "Usage: Master" in start(f"{spark}/conf:{spark}/jars/*").stderr
    assert start(f"{spark}/python/lib:{spark}/jars/*").returncode != 0


@pytest.mark.slow
@pytest.mark.spark
def test_daemons_of_a_run_use_the_archive(tmp_path: Path) -> None:
    archive = class_archive.make()
    with embedded_cluster(1, 512, tmp_path) as cluster:
        master = cluster.processes[0]
        assert archive.name in Path(f"/proc/{master.pid}/maps").read_text()
