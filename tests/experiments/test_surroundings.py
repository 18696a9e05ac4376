"""A run in the profile of a user of another cluster has the same result as in a clean one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
#: Variables required to start the command, including the tests' own for Java's classes.
_NEEDED = ("PATH", "HOME", "LD_LIBRARY_PATH", "JDK_JAVA_OPTIONS", "JAVA_HOME")


def record_of(cells: Path, folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Run Elephas in ``folder``; return its record."""
    command = [sys.executable, str(ROOT / "run_experiment.py"), "--json", "--backend=elephas"]
    command += [f"--data={cells}", "--epochs=1", "--workers=1", "--batch-size=16"]
    command += ["--set=data.image={height: 24, width: 24}"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = json.loads(done.stdout)
    return record


@pytest.mark.process_tree
@pytest.mark.long
@pytest.mark.slow
@pytest.mark.spark
def test_surroundings_do_not_change_a_digit(cells: Path, tmp_path: Path) -> None:
    clean = {name: os.environ[name] for name in _NEEDED if name in os.environ}
    hostile = tmp_path / "a 'b é"
    keras, conf, other, temporary = (hostile / name for name in ("keras", "conf", "other", "t é '"))
    for folder in (tmp_path / "clean", keras, conf, other / "pyspark", temporary):
        folder.mkdir(parents=True)
    (keras / "keras.json").write_text(
        '{"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.1}'
    )
    (conf / "spark-defaults.conf").write_text(
        "spark.master yarn\nspark.eventLog.enabled true\nspark.eventLog.dir hdfs:///logs\n"
    )
    (conf / "core-site.xml").write_text(
        "<configuration><property><name>fs.defaultFS</name><value>hdfs://nn:8020</value>"
        "</property></configuration>"
    )
    (other / "pyspark" / "__init__.py").write_text("__version__ = '2.4.8'")
    for name in ("data", "random", "token", "experiments"):
        (hostile / f"{name}.py").write_text(f"open({str(hostile / 'was-run')!r}, 'w')")
    surroundings = {
        **clean,
        "KERAS_HOME": str(keras),
        "KERAS_BACKEND": "jax",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "TF_CONFIG": '{"cluster": {"worker": ["10.0.0.1:1"]}, "task": {"type": "worker"}}',
        "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Nehalem",
        "SPARK_HOME": "/opt/spark-2.4",
        "SPARK_CONF_DIR": str(conf),
        "HADOOP_CONF_DIR": str(conf),
        "SPARK_DAEMON_JAVA_OPTS": "-XX:NoSuchOption",
        "SPARK_LOCAL_DIRS": "/nonexistent",
        "_JAVA_OPTIONS": "-Xmx8m",
        "PYSPARK_SUBMIT_ARGS": "--master yarn pyspark-shell",
        "PYSPARK_PYTHON": "/usr/bin/python2",
        "PYTHONPATH": f"{other}:{hostile}",
        "PYTHONOPTIMIZE": "2",
        "PYTHONWARNINGS": "error",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "TMPDIR": str(temporary),
        "LC_ALL": "C",
        "TZ": "Asia/Kathmandu",
        "MPLBACKEND": "TkAgg",
    }
    expected = record_of(cells, tmp_path / "clean", clean)
    found = record_of(cells, hostile, surroundings)
    assert not (hostile / "was-run").exists(), "a module of the working folder was imported"
    assert [*temporary.glob("sparkdl-*")] == []
    assert expected["tags"]["environment.set_aside"] == "none"
    assert "TF_XLA_FLAGS" in found["tags"]["environment.set_aside"]
    for name in ("initial_weights.checksum", "split.checksum", "data.fingerprint"):
        assert found["tags"][name] == expected["tags"][name]
    assert found["epochs"][0]["loss"] == expected["epochs"][0]["loss"]
    judged = {name: value for name, value in expected["metrics"].items() if "test." in name}
    assert judged
    assert {name: found["metrics"][name] for name in judged} == judged
