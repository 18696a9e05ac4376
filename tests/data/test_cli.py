import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data.cli import app
from data.splitting import SplitManifest
from data.synthetic import synthesize

HEAVY = {"tensorflow", "keras", "pyspark", "mlflow", "sklearn", "matplotlib", "pandas", "pyarrow"}


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "cells"
    return synthesize(folder, patients=12, cells_per_patient=6, size=16)


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["--help"], 0), (["prepare", "--help"], 0), (["prepare", "--sise"], 2)],
)
def test_help_and_wrong_options_answer_at_once(arguments, status):
    started = time.perf_counter()
    code = f"""
import sys
from data.cli import app
try:
    app({arguments!r})
except SystemExit as end:
    heavy = {HEAVY!r} & set(sys.modules)
    assert not heavy, heavy
    sys.exit(end.code)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == status, done.stderr
    assert time.perf_counter() - started < 5  # under 1 s on an idle machine


def test_split_writes_the_same_manifest_again(cells, tmp_path):
    for name in ("one.json", "two.json"):
        code, out, _ = run("split", cells, "--output", tmp_path / name, "--seed", 4)
        assert code == 0
    first = SplitManifest.load(tmp_path / "one.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert first.checksum in out.replace("\n", "")
    assert "SYNTHETIC" in out
    assert len(first.assignments) == 12


def test_split_uses_the_folds_of_the_publisher(cells, tmp_path):
    code, _, _ = run("split", cells, "--output", tmp_path / "s.json", "--test-fold", "fold_1")
    assert code == 0
    sides = SplitManifest.load(tmp_path / "s.json").assignments
    for path in cells.rglob("*.bmp"):
        patient = path.name.split("_")[1]
        assert (sides[patient] == "test") == (path.parts[-3] == "fold_1")


@pytest.mark.slow
def test_describe_prints_counts_and_draws_on_request(cells, tmp_path):
    code, out, _ = run("describe", cells, "--output", tmp_path / "plots")
    assert code == 0
    assert "SYNTHETIC" in out
    assert all(word in out for word in ("all", "hem", "patients", "photographs"))
    assert len(list((tmp_path / "plots").glob("*.png"))) == 3


def test_describe_counts_rejects_and_shows_the_reason(cells, tmp_path):
    (tmp_path / "UID_1_1_1_all.bmp").touch()
    (tmp_path / "UID_H1_1_1_hem.bmp").touch()
    (tmp_path / "odd.bmp").touch()
    code, out, _ = run("describe", tmp_path)
    assert code == 0
    assert "left out: 1 file or row that cannot be used" in out
    assert "odd.bmp" in out


def test_synthesize_says_that_it_is_synthetic(tmp_path):
    code, out, _ = run(
        "synthesize", tmp_path / "new", "--patients", 4, "--cells-per-patient", 2, "--size", 16
    )
    assert code == 0
    assert "SYNTHETIC" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["describe", "{missing}"], "there is no such folder"),
        (["split", "{cells}", "--test", "0.9"], "must leave images to train on"),
        (["split", "{cells}", "--test", "2"], "--test must be less than 1, not 2.0"),
        (["split", "{cells}", "--test-fold", "fold_8"], "no fold 'fold_8'"),
        (["split", "{cells}", "--class", "all", "--class", "hen"], "did you mean 'hem'"),
        (["split", "{cells}", "--class", "x=all", "--class", "x=hem"], "given twice"),
        (
            ["split", "{cells}", "--group-pattern", "(a)", "--layout", "c-nmc"],
            "'folders' and 'lmdb'",
        ),
        (
            ["prepare", "{cells}", "{missing}", "--size", "4"],
            "--image-size must be 8 or more, not 4",
        ),
        (["prepare", "{cells}", "{missing}", "--height", "32"], "must be given together"),
        (["prepare", "{cells}", "{missing}", "--size", "32", "--width", "32"], "--size sets"),
        (["prepare", "{cells}", "{missing}", "--split", "m", "--test-fold", "a"], "folds cannot"),
    ],
)
def test_wrong_requests_are_answered_in_a_line(cells, tmp_path, arguments, message):
    places = {"cells": str(cells), "missing": str(tmp_path / "missing")}
    code, out, err = run(*(argument.format(**places) for argument in arguments))
    assert code == 2
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") <= 2
    assert "Traceback" not in out + err
    assert not (tmp_path / "missing").exists()


def test_debug_shows_the_traceback(tmp_path):
    code, _, err = run("describe", tmp_path / "missing", "--debug")
    assert code == 2
    assert "Traceback" in err
    assert "error: " in err


def test_failure_of_a_spark_job_is_a_line_and_status_1(cells, tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the executor's own words\nand a stack")

    monkeypatch.setattr("data.ingest.prepare", fail)
    code, out, err = run("prepare", cells, tmp_path / "new")
    assert code == 1
    # A note about ignored environment variables may precede it.
    *notes, line = err.splitlines()
    assert line == "error: RuntimeError: the executor's own words (--debug shows the traceback)"
    assert all(note.startswith("note: ") for note in notes)
    assert "Traceback" not in out
    code, _, err = run("prepare", cells, tmp_path / "new", "--debug")
    assert "Traceback" in err


@pytest.mark.slow
def test_options_of_a_run_are_those_of_prepare_and_former_names_still_work(cells, tmp_path):
    for former, present in (
        (["--seed", 3, "--by", "image"], ["--split-seed", 3, "--split-by", "image"]),
        (["--test", 0.3], ["--test", 0.3]),
    ):
        for name, options in (("former", former), ("present", present)):
            code, _, err = run("split", cells, "--output", tmp_path / name, *options)
            assert code == 0, err
        assert (tmp_path / "former").read_bytes() == (tmp_path / "present").read_bytes()
    code, _, err = run("split", cells, "--seed", 3, "--split-seed", 3)
    assert (code, err) == (
        2,
        "error: --split-seed was also given under its former name: give --split-seed alone\n",
    )
