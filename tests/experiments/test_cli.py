"""The command line: fast responses, one-line errors and correct exit statuses."""

import json
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from backends.registry import known
from experiments.loading import shipped

ROOT = Path(__file__).parents[2]
HEAVY = ("tensorflow", "keras", "pyspark", "mlflow", "sklearn", "matplotlib", "pandas")


def call(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(ROOT / "run_experiment.py"), *arguments],
        cwd=cwd or ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--backend", "elefas"]])
def test_quick_answers_import_nothing_heavy(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / "run_experiment.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert not imported & set(HEAVY)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backend", "elefas"], "did you mean 'elephas'?"),
        (["--experiment", "malria"], "did you mean 'malaria'?"),
        (["--set", "modle.name=x"], "did you mean 'model'?"),
        (["--set", "epochs"], "write it as key=value"),
        (["--batch-size", "1"], "below the number of workers"),
        (["--data", "no/such/folder", "--backend", "majority"], "no/such/folder"),
        (["--tracking-uri", "http://127.0.0.1:9", "--backend", "majority"], "does not answer"),
        (["--set", "backend_options.elephas.mod=x", "--backend", "elephas"], "options of elephas"),
        (["--set", "positive_class=sick", "--backend", "majority"], "all, hem"),
        (["--set", "data.layout=dcm"], "'c-nmc'"),
    ],
)
def test_wrong_request_is_one_or_two_lines_and_status_2(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epoch", "3"], "error: there is no option --epoch; did you mean --epochs?"),
        (["--epochs", "x"], "error: invalid value for '--epochs'"),
        (["--color", "blue"], "error: invalid value for '--color': 'blue' is not one of"),
        (["--model", "resnet50"], "--model transfer --set model.backbone=ResNet50"),
        (["--image-size", "big"], "error: --image-size big: write 128, or 96x128"),
        (["--workers", "100000", "--batch-size", "100000"], "use fewer --workers"),
        (["--tracking-uri", "mysql://host/database"], "the package MySQLdb"),
        (["--data", "{data}"], "class 'b' has 2 "),
    ],
)
def test_wrong_option_is_answered_in_a_line_before_spark_starts(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    for name in ("a/1.png", "a/2.png", "a/3.png", "b/4.png", "b/5.png"):
        (tmp_path / "few" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "few" / name).touch()
    given = [argument.format(data=tmp_path / "few") for argument in arguments]
    pattern = ["--group-pattern", r"(\d)"] if given != arguments else []
    done = call(*given, *pattern, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "work").exists()
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.slow
def test_help_lists_backends_and_experiments_and_version_is_that_of_the_project() -> None:
    shown = call("-h").stdout
    for name in (*known(), *shipped()):
        assert f"  {name} " in shown
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert call("--version").stdout == f"sparkdl-bench {version}\n"


def test_help_on_a_full_disk_is_a_line() -> None:
    line = f"{shlex.join([sys.executable, 'run_experiment.py', '--help'])} > /dev/full"
    done = subprocess.run(
        ["bash", "-c", line], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "error: the output cannot be written: No space left on device\n"


@pytest.mark.slow
def test_too_few_patients_is_said_and_leaves_no_data(tmp_path: Path) -> None:
    from data.synthetic import synthesize

    synthesize(str(tmp_path / "few"), patients=4, cells_per_patient=3, size=32, seed=0)
    done = call("--data", str(tmp_path / "few"), "--backend", "majority", cwd=tmp_path)
    assert done.returncode == 2
    assert "patient" in done.stderr or "group" in done.stderr
    assert not list(tmp_path.glob("work/data/*/dataset.json"))


@pytest.mark.slow
def test_json_is_the_only_thing_on_stdout_and_failed_runs_are_status_1(
    data_config, tmp_path: Path
) -> None:
    common = ["--set", f"data={data_config.model_dump_json()}", "--json"]
    done = call("--backend", "majority", *common, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["status"] == "FINISHED"
    assert "test.f1" in record["metrics"]
    failing = ["--backend", "tests.experiments.misbehaving:Raising"]
    failed = call(*failing, *common, cwd=tmp_path)
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["reason"] == "RuntimeError: the framework's own words"


def test_standard_streams_that_are_closed_take_no_file_and_change_no_status() -> None:
    program = (
        "from data.entry import begin; begin(); import os;"
        "os._exit(os.open(os.devnull, os.O_RDONLY))"
    )
    numbers = []
    for command in (["-c", program], ["run_experiment.py", "--seed", "-1"]):
        line = f"{shlex.join([sys.executable, *command])} <&- >&- 2>&-"
        numbers.append(subprocess.run(["bash", "-c", line], cwd=ROOT, check=False).returncode)
    assert numbers == [3, 2]


@pytest.mark.slow
def test_reader_that_goes_away_ends_no_command() -> None:
    program = (
        "import sys; from experiments.cli.console import plain_console;"
        "console = plain_console(sys.stdout);"
        "[console.print('x' * 70) for _ in range(5000)]; sys.stderr.write('end')"
    )
    line = f"{shlex.join([sys.executable, '-c', program])} | head -1"
    done = subprocess.run(
        ["bash", "-c", line], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.stderr == "end"
