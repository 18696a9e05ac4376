"""docker-compose.yml and the image's Dockerfile, checked with the tools that read them."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.stack import ROOT, TOOLS, compose, passwords, passwords_of

__all__ = ["compose", "passwords"]

ONE_SHOT = {"bucket", "runner"}


def test_compose_accepts_the_file_without_a_warning(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {
        "master", "worker", "history", "mlflow", "postgres", "s3", "bucket", "runner", "serving",
    }  # fmt: skip


@pytest.mark.slow
def test_file_follows_the_compose_specification() -> None:
    command = [str(TOOLS / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*command, str(ROOT / "docker-compose.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_without_passwords_compose_says_what_to_run() -> None:
    done = subprocess.run(
        [str(TOOLS / "docker-compose"), "--env-file", "/dev/null", "config"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "run 'sparkdl-bench deploy env' first" in done.stderr


def test_dockerfile_passes_hadolint() -> None:
    command = [str(TOOLS / "hadolint"), str(ROOT / "deploy" / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_ports_are_on_loopback_and_images_are_pinned(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert re.search(r":v?\d+\.\d+", service["image"]), name
        for port in service.get("ports", ()):
            assert port["host_ip"] == "127.0.0.1", name
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    stages = set(re.findall(r" AS (\S+)", text))
    bases = set(re.findall(r"^FROM (\S+)", text, re.M)) - stages
    assert bases
    assert all(re.fullmatch(r"python:3\.11\.\d+-slim-\w+", base) for base in bases)


def test_image_runs_as_root_where_sagemaker_asks_for_it_alone() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    stages = [part.splitlines() for part in text.split("\nFROM ")[1:]]
    users = {
        lines[0].partition(" AS ")[2]: [line for line in lines if line.startswith("USER ")]
        for lines in stages
    }
    assert users == {"environment": [], "packages": [], "sagemaker": ["USER 0"], "": ["USER 10001"]}


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-torch.lock"])
def test_image_installs_only_packages_of_a_known_hash(name: str) -> None:
    assert "--require-hashes" in (ROOT / "deploy" / "Dockerfile").read_text()
    lock = (ROOT / name).read_text().replace("\\\n", "")
    packages = [line for line in lock.splitlines() if not line.startswith("#")]
    assert packages
    assert all("--hash=sha256:" in line for line in packages)


def test_services_are_watched_restarted_and_hardened(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        if name not in ONE_SHOT:
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"][0] == "CMD", name


def test_a_worker_can_be_scaled(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    assert worker["scale"] == 3, "'run' would bring their number back to one"
    assert "container_name" not in worker
    assert "ports" not in worker


def test_passwords_stand_in_no_command_and_in_one_environment(
    compose: dict[str, Any], passwords: Path
) -> None:
    values = passwords_of(passwords)
    for name, service in compose["services"].items():
        assert not holds(service.get("command"), values), name
        assert not holds(service.get("entrypoint"), values), name
        # The store's server accepts its key only from the environment.
        assert holds(service.get("environment"), values) == (name == "s3"), name


def test_every_password_asked_for_is_generated_and_none_has_a_default(passwords: Path) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    asked = set(re.findall(r"\$\{(\w+):\?", text)) | set(re.findall(r"environment: (\w+)", text))
    assert asked == set(passwords_of(passwords))
    assert set(re.findall(r"\$\{(\w+):-", text)) == {"WORKERS", "WORKER_MEMORY", "SERVED_MODEL"}


def test_engine_gets_neither_passwords_nor_history() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    copied = re.findall(r"^COPY (\S+)", (ROOT / "deploy" / "Dockerfile").read_text(), re.M)
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    named = {name for name in copied if not name.startswith("--")}
    locks = {"requirements.lock", "requirements-torch.lock"}  # the values of the argument LOCK
    assert "${LOCK}" in named
    assert named - {"${LOCK}"} | locks == allowed
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def holds(part: Any, values: dict[str, str]) -> bool:
    return any(value in json.dumps(part) for value in values.values())
