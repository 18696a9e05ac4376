"""SageMaker: training jobs and endpoints against moto, and the program in the container."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import boto3
import mlflow
import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sagemaker.models import FakeTrainingJob

from deploy.aws.sagemaker import entry as sagemaker_entry
from deploy.aws.sagemaker.hyperparameters import decode, encode
from deploy.entrypoint import command as container_command
from serving.service.finding import find
from tests.deploy.aws import (
    BUCKET,
    REGION,
    ROLE,
    SECRET,
    Sent,
    call,
    on_pause,
    put,
    shown,
    trouble,
)

IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/sparkdl-bench:0.1.0"
RUN = ["--", "--backend", "elephas", "--backend", "keras_local", "--data", "s3://cells/malaria"]


@pytest.fixture
def place() -> list[str]:
    """Options for bucket, region, role and image."""
    return ["--bucket", BUCKET, "--region", REGION, "--role", ROLE, "--image", IMAGE]


def state(monkeypatch: pytest.MonkeyPatch, status: str, reason: str | None = None) -> None:
    """Make moto's training jobs start in the state ``status``."""
    original = FakeTrainingJob.__init__

    def begun(self, *args, **kwargs) -> None:
        original(self, *args, **kwargs)
        self.training_job_status = status
        self.failure_reason = reason

    monkeypatch.setattr(FakeTrainingJob, "__init__", begun)


def archive(**files: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as packed:
        for name, text in files.items():
            entry = tarfile.TarInfo(name.replace("_db", ".db"))
            entry.size = len(text)
            packed.addfile(entry, io.BytesIO(text.encode()))
    return stream.getvalue()


class TestTraining:
    """``deploy sagemaker train``."""

    @pytest.fixture
    def asked(self, place: list[str], tmp_path: Path) -> list[str]:
        output = str(tmp_path / "record")
        return ["sagemaker", "train", *place, "--name", "first", "--output", output]

    @pytest.mark.slow
    def test_what_a_dry_run_shows_is_what_is_sent(
        self, sent: Sent, asked: list[str], tmp_path: Path
    ) -> None:
        dry = call(*asked, "--dry-run", *RUN)
        assert dry.exit_code == 0, dry.output
        planned = shown(dry.stdout, well=True)
        key = "runs/first/output/sparkdl-bench-first/output/output.tar.gz"
        put(f"sparkdl-bench/{key}", archive(mlflow_db="the record"))
        assert sent == []
        done = call(*asked, *RUN)
        assert done.exit_code == 0, done.output
        assert [request[:2] for request in sent] == [request[:2] for request in planned]
        for (*_, really), (*_, expected) in zip(sent, planned, strict=True):
            assert really.items() >= expected.items()
        assert (tmp_path / "record" / "mlflow.db").read_text() == "the record"
        assert SECRET not in dry.output + done.output + repr(sent)

    def test_a_job_has_a_limit_and_its_options_as_hyperparameters(
        self, sent: Sent, asked: list[str]
    ) -> None:
        (create, *_) = shown(call(*asked, "--spot", "--max-hours", "1", "--dry-run", *RUN).stdout)
        body = create[2]
        assert body["StoppingCondition"] == {
            "MaxRuntimeInSeconds": 3600,
            "MaxWaitTimeInSeconds": 7200,
        }
        assert body["HyperParameters"]["backend"] == '["elephas", "keras_local"]'
        assert "data" not in body["HyperParameters"]
        (channel,) = body["InputDataConfig"]
        assert channel["DataSource"]["S3DataSource"]["S3Uri"] == "s3://cells/malaria/"

    def test_a_failure_is_told_with_its_reason(
        self, sent: Sent, asked: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state(monkeypatch, "Failed", "AlgorithmError: it said why")
        done = call(*asked, *RUN)
        assert done.exit_code == 1
        assert (
            "error: the run ended in state Failed: AlgorithmError: it said why; see" in done.stderr
        )

    @pytest.mark.slow
    def test_ctrl_c_stops_the_job_and_brings_back_what_it_leaves(
        self, sent: Sent, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        def stop() -> None:
            (job,) = get_backend("sagemaker")[DEFAULT_ACCOUNT_ID][REGION].training_jobs.values()
            job.training_job_status = "Stopped"
            key = "runs/first/output/sparkdl-bench-first/output/output.tar.gz"
            put(f"sparkdl-bench/{key}", archive(mlflow_db="what there was"))

        state(monkeypatch, "InProgress")
        on_pause(monkeypatch, interrupt, stop)
        assert call(*asked, *RUN).exit_code == 130
        assert ("StopTrainingJob", {"TrainingJobName": "sparkdl-bench-first"}) in [
            request[1:] for request in sent
        ]
        assert (tmp_path / "record" / "mlflow.db").read_text() == "what there was"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--max-cost", "0.1", *RUN], "above --max-cost 0.10"),
            ([*RUN, "--workers", "8"], "8 workers with one core each exceed the 4 cores"),
            (["--instance-type", "ml.x", *RUN], "no price is known for ml.x"),
        ],
    )
    def test_what_cannot_be_right_is_refused(
        self, sent: Sent, asked: list[str], options: list[str], message: str
    ) -> None:
        done = call(*asked, *options)
        assert done.exit_code == 2, done.output
        assert message in done.stderr
        assert sent == []


class TestContainer:
    """The program of the worker image in SageMaker's folder."""

    def enter(self, root: Path, hyperparameters: dict[str, str]) -> subprocess.CompletedProcess:
        (root / "input" / "config").mkdir(parents=True)
        (root / "output").mkdir()
        (root / "input" / "config" / "hyperparameters.json").write_text(json.dumps(hyperparameters))
        return subprocess.run(
            [sys.executable, sagemaker_entry.__file__],
            cwd="/",
            env={**os.environ, sagemaker_entry.ROOT_VARIABLE: str(root)},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    @pytest.mark.slow
    def test_a_run_leaves_its_record_and_its_network(self, cells: Path, tmp_path: Path) -> None:
        (tmp_path / "input" / "data").mkdir(parents=True)
        (tmp_path / "input" / "data" / "images").symlink_to(cells)
        size = ["--set", "data.image.height=24", "--set", "data.image.width=24"]
        options = ["--backend", "keras_local", "--epochs", "1", *size]
        options += ["--artifacts", str(tmp_path / "artifacts")]
        done = self.enter(tmp_path, encode(options))
        assert done.returncode == 0, done.stderr[-3000:]
        left = tmp_path / "output" / "data"
        (record,) = map(json.loads, (left / "records.jsonl").read_text().splitlines())
        assert record["status"] == "FINISHED"
        assert (left / "mlflow.db").stat().st_size > 0
        assert (tmp_path / "model" / "keras_local-seed0" / "MLmodel").is_file()
        assert not (tmp_path / "output" / "failure").exists()

    @pytest.mark.slow
    def test_a_failure_is_left_where_sagemaker_looks(self, tmp_path: Path) -> None:
        done = self.enter(tmp_path, {"backend": "keras_locl"})
        assert done.returncode == 2
        assert "keras_locl" in (tmp_path / "output" / "failure").read_text()

    @pytest.mark.parametrize("folder", ["model", "output"])
    def test_an_image_that_may_not_write_there_is_said_before_it_trains(
        self, tmp_path: Path, folder: str
    ) -> None:
        (tmp_path / folder).write_text("in its place")  # a file, as root can write to any folder
        problem = sagemaker_entry.unwritable(tmp_path)
        assert problem is not None
        assert f"{tmp_path / folder} cannot be written" in problem
        assert "docker build --target sagemaker" in problem

    def test_records_that_wait_for_their_server_are_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("signal.signal", lambda *_: None)  # keep this process's handlers
        code = "import os; os.makedirs('work/outbox/r1'); open('work/outbox/r1/parcel.json', 'w')"
        command = [sys.executable, "-c", code]
        assert sagemaker_entry._run(command, tmp_path / "r.jsonl", tmp_path / "c.log") == 0
        assert (tmp_path / "outbox" / "r1" / "parcel.json").is_file()

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["--backend", "--set", "--resume"]),
                st.text(st.characters(exclude_categories=["Cs", "Cc"])).filter(
                    lambda text: text != "true" and not text.startswith("--")
                ),
            )
        )
    )
    def test_options_survive_as_hyperparameters(self, pairs: list[tuple[str, str]]) -> None:
        words = []
        for name, value in pairs:
            words += [name] if name == "--resume" else [name, value]
        expected = sorted(
            (name if name == "--resume" else f"{name}={value}" for name, value in pairs),
            key=lambda word: word.partition("=")[0],
        )
        assert decode(encode(words)) == expected


class TestServing:
    """``deploy sagemaker serve`` and ``stop``."""

    @pytest.fixture
    def unended(self, place: list[str], recorded_model: Path, tmp_path: Path) -> list[str]:
        store = ["--tracking-uri", f"sqlite:///{tmp_path}/mlflow.db"]
        return ["sagemaker", "serve", str(recorded_model), *place, "--name", "cells", *store]

    @pytest.fixture
    def asked(self, unended: list[str]) -> list[str]:
        return [*unended, "--scheduler-role", ROLE]

    def schedules(self) -> list[str]:
        found = boto3.client("scheduler", region_name=REGION).list_schedules()["Schedules"]
        return [schedule["Name"] for schedule in found]

    def endpoints(self) -> list[str]:
        found = boto3.client("sagemaker", region_name=REGION).list_endpoints()["Endpoints"]
        return [endpoint["EndpointName"] for endpoint in found]

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "options",
        [[], ["--instance-type", "ml.m5.large"]],
        ids=["serverless", "machine"],
    )
    def test_what_a_dry_run_shows_is_what_mlflow_sends(
        self, sent: Sent, asked: list[str], options: list[str]
    ) -> None:
        dry = call(*asked, *options, "--dry-run")
        assert dry.exit_code == 0, dry.output
        assert sent == []
        done = call(*asked, *options)
        assert done.exit_code == 0, done.output
        really = [request[:2] for request in sent]
        planned = [request[:2] for request in shown(dry.stdout)]
        assert really[: len(planned)] == planned
        assert set(really[len(planned) :]) <= {("sagemaker", "ListEndpoints")}
        bodies = {operation: body for _, operation, body in sent}
        for _, operation, body in shown(dry.stdout):
            assert body.keys() <= bodies[operation].keys() or operation == "ListEndpoints"
        assert self.endpoints() == ["sparkdl-bench-cells"]

    @pytest.mark.slow
    def test_uploaded_model_is_what_the_image_serves(
        self, sent: Sent, asked: list[str], tmp_path: Path
    ) -> None:
        """Unpacked as SageMaker does, it lies where the command ``serve`` looks for it."""
        assert call(*asked).exit_code == 0
        (container,) = (
            body["PrimaryContainer"] for _, operation, body in sent if operation == "CreateModel"
        )
        bucket, _, key = container["ModelDataUrl"].removeprefix("s3://").partition("/")
        content = boto3.client("s3", region_name=REGION).get_object(Bucket=bucket, Key=key)["Body"]
        with tarfile.open(fileobj=io.BytesIO(content.read())) as packed:
            packed.extractall(tmp_path / "ml" / "model", filter="data")
        command = container_command(["serve"], {"SAGEMAKER_ROOT": str(tmp_path / "ml")})
        assert find(command[3]).folder == tmp_path / "ml" / "model" / "artifacts" / "classifier"
        assert container["Image"] == IMAGE

    @pytest.mark.slow
    def test_a_model_without_a_card_is_refused(
        self, sent: Sent, asked: list[str], tmp_path: Path
    ) -> None:
        class Doubles(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input: list[float]) -> list[float]:
                return model_input * 2

        mlflow.pyfunc.save_model(tmp_path / "old", python_model=Doubles(), pip_requirements=[])
        for model, message in ((tmp_path / "old", "has no model card"), ("/no", "is not a model")):
            done = call(*asked[:2], str(model), *asked[3:])
            assert done.exit_code == 2
            assert message in done.stderr
        assert sent == []

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", [[], ["--instance-type", "ml.m5.large"]])
    def test_an_endpoint_is_deleted_by_aws_at_its_time(
        self, sent: Sent, asked: list[str], kind: list[str]
    ) -> None:
        assert call(*asked, *kind, "--max-hours", "3").exit_code == 0
        (schedule,) = (body for _, operation, body in sent if operation == "CreateSchedule")
        assert json.loads(schedule["Target"]["Input"]) == {"EndpointName": "sparkdl-bench-cells"}
        order = [operation for _, operation, _ in sent]
        assert order.index("CreateSchedule") < order.index("CreateEndpoint")

    @pytest.mark.parametrize("kind", [[], ["--instance-type", "ml.m5.large"]])
    def test_an_endpoint_without_an_end_is_refused(
        self, sent: Sent, unended: list[str], kind: list[str]
    ) -> None:
        done = call(*unended, *kind)
        assert done.exit_code == 2
        assert "--scheduler-role" in done.stderr
        assert sent == []

    @pytest.mark.slow
    def test_a_name_that_is_taken_is_refused_and_left_alone(
        self, sent: Sent, asked: list[str]
    ) -> None:
        assert call(*asked).exit_code == 0
        done = call(*asked)
        assert done.exit_code == 2
        assert "there is an endpoint sparkdl-bench-cells" in done.stderr
        assert self.endpoints() == ["sparkdl-bench-cells"]

    @pytest.mark.slow
    def test_stop_leaves_nothing(self, sent: Sent, asked: list[str]) -> None:
        assert call(*asked).exit_code == 0
        done = call("sagemaker", "stop", "cells", "--region", REGION)
        assert done.exit_code == 0, done.output
        service = boto3.client("sagemaker", region_name=REGION)
        assert self.endpoints() == []
        assert self.schedules() == []
        assert service.list_models()["Models"] == []
        assert service.list_endpoint_configs()["EndpointConfigs"] == []

    @pytest.mark.slow
    def test_an_endpoint_that_is_made_again_is_not_deleted_at_the_time_of_the_first(
        self, sent: Sent, asked: list[str]
    ) -> None:
        assert call(*asked).exit_code == 0
        # As when the user deletes the endpoint by hand, which does not delete the schedule.
        boto3.client("sagemaker", region_name=REGION).delete_endpoint(
            EndpointName="sparkdl-bench-cells"
        )
        assert call(*asked, "--max-hours", "3").exit_code == 0
        assert self.schedules() == ["sparkdl-bench-cells"]
        times = [body["ScheduleExpression"] for _, name, body in sent if name == "CreateSchedule"]
        there = boto3.client("scheduler", region_name=REGION).get_schedule(
            Name="sparkdl-bench-cells"
        )
        assert there["ScheduleExpression"] == times[1] != times[0]

    @pytest.mark.slow
    def test_an_endpoint_that_does_not_come_up_leaves_nothing(
        self, sent: Sent, asked: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(_: object) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "CreateModel")

        trouble(monkeypatch, "CreateModel", refused)
        assert call(*asked).exit_code == 2
        assert self.endpoints() == []
        assert self.schedules() == []
