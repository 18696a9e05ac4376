"""The archive that Lambda runs: the function, its page and the card of the model."""

import io
import json
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from data.project import ROOT
from deploy.aws.lambda_.function.settings import Settings
from deploy.aws.lambda_.package import HANDLER
from tests.deploy.aws import REGION, Sent, call
from tests.deploy.test_lambda import OPTIONS, endpoint, pauses

__all__ = ["endpoint", "pauses"]

#: Packages that Lambda's runtime has, and those that Python and botocore load if they exist.
BOTO3 = {"boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six"}
BOTO3 |= {"_distutils_hack", "certifi"}


class TestArchive:
    @pytest.fixture
    def archive(self, endpoint: Sent, tmp_path: Path) -> Path:
        """The unpacked archive that is sent to AWS."""
        assert call(*OPTIONS).exit_code == 0
        (body,) = (p for _, name, p in endpoint if name == "CreateFunction")
        content = body["Code"]["ZipFile"]
        assert len(content) < 200_000
        assert body["Handler"] == HANDLER
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            packed.extractall(tmp_path)
        return tmp_path

    @pytest.mark.slow
    def test_it_needs_nothing_but_boto3(self, archive: Path) -> None:
        """The archive runs in a process that has neither the project nor other packages."""
        program = f"""
import json, sys
sys.path[:] = [{str(archive)!r}] + [p for p in sys.path if p not in ("", {str(ROOT)!r})]
from {HANDLER.rpartition(".")[0]} import handle
class Context:
    get_remaining_time_in_millis = staticmethod(lambda: 29_000)
event = {{"rawPath": "/", "headers": {{}}, "requestContext": {{
    "requestId": "1", "http": {{"method": "GET"}}}}}}
answer = handle(event, Context)
assert answer["statusCode"] == 200, answer
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=archive,
            env={"AWS_DEFAULT_REGION": REGION, "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        loaded = json.loads(done.stdout.splitlines()[-1])
        # Only the installed packages of Lambda's own boto3 are used.
        installed = set(packages_distributions())
        foreign = set(loaded) & (installed | {"data", "models", "serving", "experiments"})
        assert foreign - {"deploy"} <= BOTO3

    def test_it_has_the_page_and_no_key(
        self, endpoint: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = "a key of more than sixteen characters"
        (tmp_path / "keys").write_text(key + "\n")
        done = call(*OPTIONS, "--api-key-file", tmp_path / "keys")
        assert done.exit_code == 0
        assert "public" not in done.stderr
        (body,) = (p for _, name, p in endpoint if name == "CreateFunction")
        with zipfile.ZipFile(io.BytesIO(body["Code"]["ZipFile"])) as packed:
            names = packed.namelist()
            folder = "deploy/aws/lambda_/function"
            assert f"{folder}/page/static/app.js" in names
            assert not [name for name in names if "cache" in name]
            everything = b"".join(packed.read(name) for name in names)
            settings = Settings(**json.loads(packed.read(f"{folder}/settings.json")))
        assert key.encode() not in everything
        assert len(settings.key_digests) == 1

    @pytest.mark.slow
    def test_it_has_the_card_of_the_model(self, endpoint: Sent, recorded_model: Path) -> None:
        from types import SimpleNamespace

        from models.card import ModelCard
        from serving.classifier import classifier_folder
        from serving.service.routes.prediction import card_document
        from serving.service.settings import Source

        done = call(*OPTIONS, "--model", recorded_model)
        assert done.exit_code == 0, done.output
        (body,) = (p for _, name, p in endpoint if name == "CreateFunction")
        with zipfile.ZipFile(io.BytesIO(body["Code"]["ZipFile"])) as packed:
            text = packed.read("deploy/aws/lambda_/function/settings.json")
        card = ModelCard.read(classifier_folder(recorded_model))
        served: Any = SimpleNamespace(card=card, source=Source(), engine="endpoint", explains=False)
        assert Settings(**json.loads(text)).card == card_document(served)
