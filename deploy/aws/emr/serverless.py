"""A run on EMR Serverless: an application with a fixed maximum capacity, and one job.

A job is one Spark application and therefore runs one backend with one seed. AWS starts the driver
(``serverless_entry.py``); the run's own process connects to that driver's JVM.
"""

import math
from pathlib import Path

from pydantic import Field

from deploy.aws import prices, storage
from deploy.aws.job import TAG, JobOptions, record_requests, run_arguments, upload
from deploy.aws.plan import Plan, Request, Until
from deploy.aws.run_options import RunOptions
from deploy.errors import DeployError

_ENTRY = Path(__file__).with_name("serverless_entry.py")
_APPLICATION, _JOB = "<ApplicationId>", "<JobRunId>"
#: Size of the driver: runner, evaluation and the framework's driver side run next to Spark's JVM.
DRIVER_VCPU, DRIVER_GIB = 4, 16
#: Memory that EMR Serverless offers for an executor with one core, in GiB.
_EXECUTOR_GIB = range(2, 9)
#: GiB of an executor's container for Python and the deep-learning library, outside the heap.
_PYTHON_GIB = 2
#: GB of disk per container, for the environment archive and its unpacked content.
_DISK_GB = 40
_PYTHON = "./environment/bin/python"
#: Backends that add jars to the driver's class path before its JVM starts.
_NEEDS_OWN_JVM = ("bigdl",)
_MINUTES = 60
#: Minutes by which the driver's own limit is shorter than AWS's, at which nothing can be saved:
#: time to start the driver with the environment, to close the records and to upload them to S3.
_SPARE_MINUTES = 8


class ServerlessOptions(JobOptions):
    """Options of a run on EMR Serverless."""

    #: ARN of the job's role.
    role: str
    #: Existing application to use; it is not deleted.
    application: str | None = None
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    max_hours: float = Field(default=2.0, ge=0.25)

    @property
    def executor_gib(self) -> int:
        """Memory of an executor's container, in GiB."""
        required = math.ceil(self.run.executor_memory_mb / 1024) + _PYTHON_GIB
        if required > _EXECUTOR_GIB[-1]:
            raise DeployError(
                f"executors with one core and {required} GiB are larger than EMR Serverless offers "
                f"({_EXECUTOR_GIB[-1]}): use less spark.executor_memory, or a cluster"
            )
        return required

    @property
    def capacity(self) -> tuple[int, int]:
        """Total vCPU and GiB of the driver and the executors."""
        workers = self.run.workers
        return DRIVER_VCPU + workers, DRIVER_GIB + workers * self.executor_gib

    def price(self) -> prices.Price:
        """Return the price of the whole capacity."""
        return prices.of_capacity(*self.capacity, self.region)


def plan(options: ServerlessOptions) -> Plan:
    """Return the requests of a run.

    Raises
    ------
    DeployError
        If the run needs more than one Spark application, or a backend or a size of executor that
        EMR Serverless does not support.
    """
    _check(options.run)
    place = options.place
    uploads = upload(options, _ENTRY, "upload the script of the driver")
    application = options.application or _APPLICATION
    of_job = {"applicationId": application, "jobRunId": _JOB}
    follow = Request(
        service="emr-serverless",
        operation="GetJobRun",
        parameters=of_job,
        purpose="job",
        until=Until(
            path="jobRun.state",
            succeeded=("SUCCESS",),
            failed=("FAILED", "CANCELLED"),
            reasons=("jobRun.stateDetails",),
        ),
    )
    created = () if options.application else _create(options)
    return Plan(
        prepare=uploads.requests,
        start=(*created, _job(options, application, uploads.program, uploads.environment)),
        follow=follow,
        fetch=record_requests(options),
        cancel=(
            Request(
                service="emr-serverless",
                operation="CancelJobRun",
                parameters=of_job,
                purpose="cancel the job",
            ),
            # An application cannot be stopped while one of its jobs is still ending.
            follow.model_copy(update={"purpose": "cancelled job"}),
        ),
        end=() if options.application else _delete(),
        # AWS stops the job at its limit; the margin is for the creation of the application.
        deadline=options.max_hours * 3600 + 600,
        logs=f"{place.uri(place.key('logs'))}/ and {options.output / storage.CONSOLE}",
        by_hand=(
            f"aws emr-serverless cancel-job-run --region {options.region} --application-id "
            f"{application} --job-run-id {_JOB}"
        ),
        warnings=uploads.warnings,
    )


def _check(run: RunOptions) -> None:
    if len(run.backends) * len(run.seeds) > 1:
        raise DeployError(
            "a job of EMR Serverless is one Spark application: use one --backend and one --seed, "
            "or compare several on a cluster (without --serverless)"
        )
    unfit = set(run.backends) & set(_NEEDS_OWN_JVM)
    if unfit:
        raise DeployError(
            f"{min(unfit)} must add its jars before the driver's JVM starts, and EMR Serverless "
            "starts that JVM itself: use a cluster (without --serverless)"
        )


def _create(options: ServerlessOptions) -> tuple[Request, ...]:
    vcpu, gib = options.capacity
    containers = 1 + options.run.workers
    parameters: dict[str, object] = {
        "name": f"sparkdl-bench-{options.place.run}",
        "releaseLabel": options.release,
        "type": "SPARK",
        "architecture": "X86_64",
        "maximumCapacity": {
            "cpu": f"{vcpu} vCPU",
            "memory": f"{gib} GB",
            "disk": f"{containers * _DISK_GB} GB",
        },
        "autoStopConfiguration": {"enabled": True, "idleTimeoutMinutes": 1},
        "tags": {"project": TAG, "run": options.place.run},
    }
    if options.subnets:
        parameters["networkConfiguration"] = {
            "subnetIds": list(options.subnets),
            "securityGroupIds": list(options.security_groups),
        }
    create = Request(
        service="emr-serverless",
        operation="CreateApplication",
        parameters=parameters,
        purpose="create an application that cannot grow beyond the run and stops when idle",
        keeps={_APPLICATION: "applicationId"},
    )
    return create, _until("new application", ("CREATED", "STARTED"), ("TERMINATED",))


def _delete() -> tuple[Request, ...]:
    which = {"applicationId": _APPLICATION}
    stop = Request(
        service="emr-serverless",
        operation="StopApplication",
        parameters=which,
        purpose="stop the application, whether the run succeeded or not",
    )
    delete = Request(
        service="emr-serverless",
        operation="DeleteApplication",
        parameters=which,
        purpose="delete the application",
    )
    return stop, _until("stopping application", ("STOPPED", "CREATED", "TERMINATED"), ()), delete


def _until(purpose: str, states: tuple[str, ...], failed: tuple[str, ...]) -> Request:
    return Request(
        service="emr-serverless",
        operation="GetApplication",
        parameters={"applicationId": _APPLICATION},
        purpose=purpose,
        until=Until(path="application.state", succeeded=states, failed=failed),
    )


def _job(options: ServerlessOptions, application: str, entry: str, environment: str) -> Request:
    arguments = run_arguments(options, "emr-serverless")
    if not options.run.has_price:
        vcpu = prices.of_capacity(1, 0, options.region).by_hour
        gib = prices.of_capacity(0, 1, options.region).by_hour
        arguments += ["--price-core-hour", f"{vcpu:.4f}", "--price-gb-hour", f"{gib:.5f}"]
    minutes = round(options.max_hours * _MINUTES)
    own_limit = str((minutes - _SPARE_MINUTES) * 60)
    code = f"{options.place.run_uri}/code.tar.gz"
    return Request(
        service="emr-serverless",
        operation="StartJobRun",
        parameters={
            "applicationId": application,
            "executionRoleArn": options.role,
            "name": f"sparkdl-bench-{options.place.run}",
            "executionTimeoutMinutes": minutes,
            "jobDriver": {
                "sparkSubmit": {
                    "entryPoint": entry,
                    "entryPointArguments": [
                        f"{options.place.run_uri}/record",
                        own_limit,
                        *arguments,
                    ],
                    "sparkSubmitParameters": _spark(options, f"{environment}#environment", code),
                }
            },
            "configurationOverrides": {
                "monitoringConfiguration": {
                    "s3MonitoringConfiguration": {
                        "logUri": options.place.uri(options.place.key("logs")) + "/"
                    }
                }
            },
            "tags": {"project": TAG, "run": options.place.run},
        },
        purpose="start the run, which AWS stops at its time limit",
        keeps={_JOB: "jobRunId"},
    )


def _spark(options: ServerlessOptions, environment: str, code: str) -> str:
    heap = options.run.executor_memory_mb
    settings = {
        "spark.archives": f"{environment},{code}#code",
        "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON": _PYTHON,
        "spark.emr-serverless.driverEnv.PYSPARK_PYTHON": _PYTHON,
        "spark.emr-serverless.driverEnv.AWS_REGION": options.region,
        "spark.executorEnv.PYSPARK_PYTHON": _PYTHON,
        "spark.driver.cores": str(DRIVER_VCPU),
        # The heap is small because the runner and the framework run in Python outside it.
        "spark.driver.memory": "4g",
        "spark.driver.memoryOverhead": f"{DRIVER_GIB - 4}g",
        "spark.executor.cores": "1",
        "spark.executor.instances": str(options.run.workers),
        "spark.executor.memory": f"{heap}m",
        "spark.executor.memoryOverhead": f"{options.executor_gib * 1024 - heap}m",
        "spark.dynamicAllocation.enabled": "false",
        "spark.emr-serverless.driver.disk": f"{_DISK_GB}g",
        "spark.emr-serverless.executor.disk": f"{_DISK_GB}g",
    }
    return " ".join(f"--conf {key}={value}" for key, value in settings.items())
