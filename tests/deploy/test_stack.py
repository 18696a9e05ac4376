"""The services of docker-compose.yml, started as processes with the file's own commands."""

import base64
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.stack import LIMIT, Stack, compose, passwords, passwords_of, stack

__all__ = ["compose", "passwords"]

#: Reads every object of the store, with the runner's own credentials.
_OBJECTS = """
import base64, json, boto3
store = boto3.client("s3")
for page in store.get_paginator("list_objects_v2").paginate(Bucket="sparkdl"):
    for item in page["Contents"]:
        body = store.get_object(Bucket="sparkdl", Key=item["Key"])["Body"].read()
        print(json.dumps([item["Key"], base64.b64encode(body).decode()]))
"""


@pytest.mark.spark
@pytest.mark.process_tree
@pytest.mark.long
@pytest.mark.slow
def test_services_start_train_record_and_keep_the_passwords_to_themselves(
    compose: dict[str, Any], passwords: Path, cells: Path, tmp_path: Path
) -> None:
    secrets = passwords_of(passwords)
    with stack(compose, tmp_path) as services:
        start_all(services, secrets)
        arguments = ["--backend", "elephas", "--epochs", "1", "--workers", "2", "--json"]
        arguments += ["--data", str(cells), "--set", "data.image={height: 24, width: 24}"]
        done = services.run("runner", services.command_of("runner", arguments))
        assert done.returncode == 0, done.stdout + done.stderr + services.logs()
        record = json.loads(done.stdout)
        assert record["status"] == "FINISHED"
        assert record["tags"]["platform"] == "compose"
        assert record["metrics"]["resources.executors_cpu_s"] > 0

        finished = services.run("history", fetch("http://history:18080/api/v1/applications"))
        assert [one["name"] for one in json.loads(finished.stdout)].count("sparkdl-bench") == 1
        registered = f"{record['experiment']}-{record['backend']}"
        model_is_served(services, registered, next(cells.rglob("*.bmp")))
        stranger_is_refused(services)
        page_of_another_name_is_refused(services)

        left = what_is_left(services, secrets["POSTGRES_PASSWORD"])
        left["screen"] = (done.stdout + done.stderr).encode()
        assert record["run_id"].encode() in left["database"]
        kinds = {Path(name).name for name in left}
        assert {"predictions.parquet", "dataset.json", "stdout", "stderr"} <= kinds
        assert any(name.startswith("srv/events/app-") for name in left)
        for place, content in left.items():
            for variable, value in secrets.items():
                assert value.encode() not in content, f"{variable} stands in {place}"


def start_all(services: Stack, secrets: dict[str, str]) -> None:
    """Start every service except the runner, in the order that the file requires."""
    services.start_postgres(secrets["POSTGRES_PASSWORD"])
    services.start_store()
    services.prepare("bucket")
    for _ in range(2):  # a restarted container finds an existing bucket
        made = services.run("bucket", services.command_of("bucket"))
        assert made.returncode == 0, made.stderr
    for name in ("master", "history", "mlflow", "worker", "worker"):
        services.start(name)
    for name in ("master", "history", "mlflow", "worker"):
        services.wait_healthy(name)
    services.prepare("runner")


def model_is_served(services: Stack, registered: str, image: Path) -> None:
    """The prediction service finds the model on MLflow's server and classifies an image."""
    command = services.command_of("serving")
    place = command.index("synthetic-elephas")
    services.start("serving", [*command[:place], registered, *command[place + 1 :]])
    services.wait_healthy("serving")
    code = (
        "import sys, urllib.request as r; "
        "q = r.Request('http://serving:8000/invocations', open(sys.argv[1], 'rb').read(), "
        "{'Content-Type': 'image/bmp'}); print(r.urlopen(q).read().decode())"
    )
    answer = services.run("runner", ["python", "-c", code, str(image)])
    assert sum(json.loads(answer.stdout)) == pytest.approx(1, abs=1e-5), answer.stderr


def stranger_is_refused(services: Stack) -> None:
    """A worker without the secret cannot register."""
    nothing = services.folder / "nothing"
    nothing.mkdir()
    before = alive_workers(services)
    assert before == 2
    command = ["env", f"SPARK_CONF_DIR={nothing}", *services.command_of("worker")]
    log = services.start("worker", command)
    deadline = time.monotonic() + LIMIT
    while "Failed to connect to master" not in (text := log.read_text()):
        assert "Successfully registered with master" not in text, text
        assert time.monotonic() < deadline, text
        time.sleep(0.2)
    assert alive_workers(services) == before


def page_of_another_name_is_refused(services: Stack) -> None:
    """A browser that reaches MLflow through a foreign host name is rejected."""
    path = "http://mlflow:5000/api/2.0/mlflow/experiments/get-by-name?experiment_name=cells"
    code = (
        "import sys, urllib.request as r; "
        "print(r.urlopen(r.Request(sys.argv[1], headers={'Host': sys.argv[2]})).status)"
    )
    own, foreign = (
        services.run("runner", ["python", "-c", code, path, host])
        for host in ("mlflow:5000", "attacker.example")
    )
    assert own.stdout.strip() == "200", own.stderr
    assert "HTTP Error 403" in foreign.stderr, foreign.stdout


def alive_workers(services: Stack) -> int:
    """Return the number of workers that the master reports as alive."""
    state = services.run("master", fetch("http://master:8080/json/"))
    return int(json.loads(state.stdout)["aliveworkers"])


def fetch(url: str) -> list[str]:
    """Return a command that prints the response of ``url``."""
    code = f"import urllib.request; print(urllib.request.urlopen({url!r}).read().decode())"
    return ["python", "-c", code]


def what_is_left(services: Stack, password: str) -> dict[str, bytes]:
    """Return everything that the services have written: location -> content."""
    dump = ["env", f"PGPASSWORD={password}", "pg_dump", "--host=postgres", "--username=mlflow"]
    database = services.run("postgres", [*dump, "mlflow"])
    assert database.returncode == 0, database.stderr
    left = {"database": database.stdout.encode()}
    objects = services.run("runner", ["python", "-c", _OBJECTS])
    assert objects.returncode == 0, objects.stderr
    for line in objects.stdout.splitlines():
        key, content = json.loads(line)
        left[f"store/{key}"] = base64.b64decode(content)
    for folder, _, names in os.walk(services.folder):
        for name in names:
            path = Path(folder) / name
            place = str(path.relative_to(services.folder))
            if place.startswith("srv/record/") or place in services.given:
                continue
            left[place] = path.read_bytes()
    return left
