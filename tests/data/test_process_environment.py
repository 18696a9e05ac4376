"""Variables of a user's profile are not passed to child processes, and are reported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data import keras_home, process_environment
from data.process_environment import for_children, for_spark, note, overridden

ROOT = Path(__file__).parents[2]
#: As on the edge node of a hospital's cluster.
CLUSTER = {
    "SPARK_HOME": "/opt/spark-2.4",
    "SPARK_CONF_DIR": "/etc/spark/conf",
    "SPARK_DIST_CLASSPATH": "/opt/hadoop/*",
    "SPARK_DAEMON_JAVA_OPTS": "-Dx=y",
    "HADOOP_CONF_DIR": "/etc/hadoop/conf",
    "JAVA_TOOL_OPTIONS": "-javaagent:/opt/agent.jar",
    "_JAVA_OPTIONS": "-Xmx256m",
}
PROFILE = {
    "KERAS_BACKEND": "jax",
    "KERAS_MAX_EPOCHS": "1",
    "TF_CONFIG": "{}",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_USE_LEGACY_KERAS": "1",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2",
    "XLA_FLAGS": "--xla_cpu_enable_fast_math=true",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "AVX2",
    "OMP_NUM_THREADS": "7",
    "PYSPARK_SUBMIT_ARGS": "--master yarn pyspark-shell",
    "PYSPARK_PYTHON": "/usr/bin/python2",
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "PYTHONHOME": "/usr",
}
#: Variables of programs unrelated to a run, or without effect on it.
OTHERS = {
    "TF_CLI_CONFIG_FILE": "/etc/terraform",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONUNBUFFERED": "1",
    "JDK_JAVA_OPTIONS": "-Xshare:auto",
    "LD_PRELOAD": "",
    "TZ": "Asia/Kathmandu",
    "AWS_PROFILE": "research",
}


@pytest.fixture
def profile(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    # Another test may have settled this process.
    monkeypatch.setattr(process_environment, "_found", {})
    for text in overridden(here=True):  # variables of the shell that runs the tests
        monkeypatch.delenv(text.partition(" ")[0], raising=False)
    for name, value in (CLUSTER | PROFILE | OTHERS).items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_children_get_nothing_that_changes_a_result(profile: pytest.MonkeyPatch) -> None:
    given = for_children(here=True)
    assert given.pop("KERAS_BACKEND") == "tensorflow"
    assert not given.keys() & (CLUSTER.keys() | PROFILE.keys())
    assert given.items() >= OTHERS.items()


def test_a_run_on_a_cluster_keeps_the_clusters_variables(profile: pytest.MonkeyPatch) -> None:
    given = for_spark(None, here=False)
    assert Path(given["SPARK_HOME"]).name == "pyspark", "Spark itself is always the locked one"
    kept = CLUSTER.keys() - {"SPARK_HOME"}
    assert {name: given[name] for name in kept} == {name: CLUSTER[name] for name in kept}
    assert not given.keys() & (PROFILE.keys() - {"KERAS_BACKEND", "PYSPARK_PYTHON"})


def test_one_line_names_what_was_set_aside_and_nothing_else(
    profile: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profile.setenv("PYTHONPATH", f"{ROOT}:/opt/spark/python")
    profile.setenv("TMPDIR", str(tmp_path / "missing"))
    profile.setenv("LC_ALL", "C")
    named = {text.partition(" ")[0] for text in overridden(here=True)}
    assert named == {*CLUSTER, *PROFILE, "PYTHONPATH", "TMPDIR"}
    assert named - set(CLUSTER) | {"SPARK_HOME"} == {
        text.partition(" ")[0] for text in overridden(here=False)
    }
    assert "\n" not in note(here=True)


def test_nothing_is_said_where_nothing_was_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    usual = {"TMPDIR": "/tmp/", "PYTHONDONTWRITEBYTECODE": "1"}
    monkeypatch.setattr(process_environment, "_found", {**clean, **usual, **OTHERS})
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert note(here=True) == ""
    # A variable that one command sets for another was not set by the user.
    monkeypatch.setattr(process_environment, "_found", for_spark(environment=clean))
    assert note(here=True) == ""


def test_nothing_on_this_machine_asks_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in os.environ if one.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    assert "no_proxy" not in for_children(here=True)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.hospital.example:3128")
    monkeypatch.setenv("NO_PROXY", "pacs.hospital.example")
    given = for_children(here=False)
    assert given["HTTPS_PROXY"], "MLflow or S3 may be behind it"
    for name in ("no_proxy", "NO_PROXY"):
        excepted = given[name].split(",")
        assert {"pacs.hospital.example", "127.0.0.1", "localhost", "::1"} <= set(excepted)


@pytest.mark.parametrize("setting", ['{"floatx": "float16"}', '{"epsilon": 1e-3}', "[]", "{}", "?"])
def test_keras_settings_are_the_projects_and_weights_are_still_found(
    tmp_path: Path, setting: str
) -> None:
    (tmp_path / "keras.json").write_text(setting)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "resnet.h5").touch()
    environment = {"KERAS_HOME": str(tmp_path)}
    home = Path(for_children(here=True, environment=environment)["KERAS_HOME"])
    assert (home / "models" / "resnet.h5").exists()
    if setting == "{}":
        assert home == tmp_path, "a file that changes nothing stays in use"
        assert keras_home.overridden(environment) is None
    else:
        assert json.loads((home / "keras.json").read_text()) == keras_home.SETTINGS
        assert keras_home.overridden(environment) == str(tmp_path / "keras.json")


def test_names_of_files_are_utf8_whatever_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    given = {**for_children(here=True), "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code = "import locale; print(locale.getencoding())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=given, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip().lower() == "utf-8", done.stderr


@pytest.fixture
def folder_with_traps(tmp_path: Path) -> Path:
    """A working folder with modules that shadow others, and a user-defined backend."""
    for name in ("data", "random", "token", "experiments", "typer", "pyspark/__init__"):
        trap = tmp_path / f"{name}.py"
        trap.parent.mkdir(exist_ok=True)
        trap.write_text("raise SystemExit('the code of the user was run')")
    (tmp_path / "my_backend.py").write_text("")
    return tmp_path


@pytest.mark.parametrize("on_path", [False, True])
def test_modules_in_the_working_folder_are_not_imported_by_a_child(
    folder_with_traps: Path, on_path: bool
) -> None:
    mine = {"PYTHONPATH": "."} if on_path else {}
    code = (
        "import random, token, data.errors, importlib.util as u;"
        "print(u.find_spec('pyspark').origin, bool(u.find_spec('my_backend')))"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder_with_traps)
        given = for_children(here=True, environment={**os.environ, **mine})
        done = subprocess.run(
            [sys.executable, "-c", code], env=given, capture_output=True, text=True, check=False
        )
    assert done.stderr == ""
    origin, importable = done.stdout.split()
    assert "site-packages" in origin
    assert importable == str(on_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [[ROOT / "run_experiment.py", "--help"], ["-m", "data", "--help"], ["-m", "experiments"]],
)
def test_modules_of_the_user_are_not_imported_by_a_command(
    folder_with_traps: Path, command: list[object]
) -> None:
    by_module = command[0] == "-m"
    # 'python -m' itself searches the working folder first for the command's own module.
    for name in ("data", "experiments") if by_module else ():
        (folder_with_traps / f"{name}.py").unlink()
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:." if by_module else "."}
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder_with_traps,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Usage" in done.stdout + done.stderr
    assert "was run" not in done.stdout + done.stderr


def test_a_command_without_docstrings_begins_again(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from data.surroundings import settle\n"
        "settle(); from data.process_environment import overridden\n"
        "print(sys.flags.optimize, sys.argv[1:], sys.getfilesystemencoding(),"
        " overridden(here=True))"
    )
    script = tmp_path / "command.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script), "a b", "é"],
        env={"PATH": os.environ["PATH"], "PYTHONOPTIMIZE": "2", "PYTHONUTF8": "0", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "0 ['a b', 'é'] utf-8 ['PYTHONOPTIMIZE']", done.stderr


def test_commands_and_their_children_compile_what_they_import_once(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from data.surroundings import settle\n"
        "settle(); import imported_here, subprocess\n"
        "sys.exit(subprocess.call([sys.executable, '-c', 'import imported_by_child']))"
    )
    for name in ("imported_here", "imported_by_child"):
        (tmp_path / f"{name}.py").touch()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0
    compiled = {path.name.partition(".")[0] for path in (tmp_path / "__pycache__").iterdir()}
    assert compiled == {"imported_here", "imported_by_child"}
