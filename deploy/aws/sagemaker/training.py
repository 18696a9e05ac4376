"""A training job of SageMaker: the worker image on one machine, with an embedded cluster."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from deploy.aws import prices, storage
from deploy.aws.job import TAG
from deploy.aws.plan import Plan, Request, Until
from deploy.aws.run_options import RunOptions
from deploy.aws.sagemaker import hyperparameters
from deploy.aws.storage import Place
from deploy.errors import DeployError

#: Entry point in the worker image.
_ENTRY = ["python", "/app/deploy/aws/sagemaker/entry.py"]
#: Default size of the machine's volume, in GB.
_VOLUME_GB = 30
#: Seconds that SageMaker takes to provide the machine before, and to upload the results after.
_AROUND = 1200


class TrainingOptions(BaseModel):
    """Options of a training job."""

    model_config = ConfigDict(frozen=True)

    place: Place
    region: str
    run: RunOptions
    #: Folder for the record.
    output: Path
    #: Worker image in ECR.
    image: str
    #: ARN of the job's role.
    role: str
    instance_type: str = "ml.m5.xlarge"
    spot: bool = False
    volume_gb: int = Field(default=_VOLUME_GB, ge=1)
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    max_hours: float = Field(default=2.0, gt=0)
    price_per_hour: float | None = None

    @property
    def job(self) -> str:
        """Name of the job."""
        return f"sparkdl-bench-{self.place.run}"

    def price(self) -> prices.Price:
        """Return the price of the machine."""
        return prices.of_instances(
            "sagemaker", self.instance_type, 1, self.region, self.price_per_hour
        )


def plan(options: TrainingOptions) -> Plan:
    """Return the requests of a training job.

    Raises
    ------
    DeployError
        If the machine is too small, or the run uses an experiment file, which cannot be passed to
        the job.
    """
    _check(options)
    name = {"TrainingJobName": options.job}
    output = options.place.run_key("output")
    archive = f"{output}/{options.job}/output/output.tar.gz"
    record = storage.download(
        options.place, archive, options.output / "output.tar.gz", "download the record of the run"
    ).model_copy(update={"unpack": True})
    follow = Request(
        service="sagemaker",
        operation="DescribeTrainingJob",
        parameters=name,
        purpose="training job",
        until=Until(
            path="TrainingJobStatus",
            succeeded=("Completed",),
            failed=("Failed", "Stopped"),
            reasons=("FailureReason", "SecondaryStatus"),
        ),
    )
    return Plan(
        prepare=(),
        start=(_create(options, options.place.uri(output)),),
        follow=follow,
        fetch=(record,),
        cancel=(
            Request(
                service="sagemaker",
                operation="StopTrainingJob",
                parameters=name,
                purpose="stop the job",
            ),
            # The results are in the bucket only after the job has ended.
            follow.model_copy(update={"purpose": "stopped training job"}),
        ),
        deadline=options.max_hours * 3600 + _AROUND,
        logs=f"the log group /aws/sagemaker/TrainingJobs, streams {options.job}/*",
        by_hand=(
            f"aws sagemaker stop-training-job --region {options.region} "
            f"--training-job-name {options.job}"
        ),
    )


def _check(options: TrainingOptions) -> None:
    run = options.run
    if run.experiment_file:
        raise DeployError(
            "a training job does not support experiment files: use a shipped experiment and "
            "override it with --set"
        )
    known = prices.machine("sagemaker", options.instance_type)
    if known and run.workers > known.vcpu:
        raise DeployError(
            f"{run.workers} workers with one core each exceed the {known.vcpu} cores of "
            f"{options.instance_type}: use fewer --workers or a larger --instance-type"
        )


def _create(options: TrainingOptions, output: str) -> Request:
    seconds = round(options.max_hours * 3600)
    stopping = {"MaxRuntimeInSeconds": seconds}
    if options.spot:
        stopping["MaxWaitTimeInSeconds"] = 2 * seconds
    parameters: dict[str, object] = {
        "TrainingJobName": options.job,
        "AlgorithmSpecification": {
            "TrainingImage": options.image,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": _ENTRY,
        },
        "RoleArn": options.role,
        "HyperParameters": hyperparameters.encode(_arguments(options)),
        "OutputDataConfig": {"S3OutputPath": output},
        "ResourceConfig": {
            "InstanceType": options.instance_type,
            "InstanceCount": 1,
            "VolumeSizeInGB": options.volume_gb,
        },
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": options.spot,
        "Tags": [
            {"Key": "project", "Value": TAG},
            {"Key": "run", "Value": options.place.run},
        ],
    }
    if options.run.data.startswith("s3://"):
        source = {
            "S3DataType": "S3Prefix",
            "S3Uri": options.run.data.rstrip("/") + "/",
            "S3DataDistributionType": "FullyReplicated",
        }
        parameters["InputDataConfig"] = [
            {"ChannelName": hyperparameters.IMAGES, "DataSource": {"S3DataSource": source}}
        ]
    if options.subnets:
        parameters["VpcConfig"] = {
            "Subnets": list(options.subnets),
            "SecurityGroupIds": list(options.security_groups),
        }
    return Request(
        service="sagemaker",
        operation="CreateTrainingJob",
        parameters=parameters,
        purpose="start the run in the worker image, which AWS stops at its time limit",
    )


def _arguments(options: TrainingOptions) -> list[str]:
    """Return the options of the run without ``--data``, as images arrive through the channel."""
    run = options.run
    arguments = list(_without(run.arguments, "--data"))
    if run.tracking_uri is None:
        arguments += ["--artifacts", f"{options.place.run_uri}/artifacts"]
    if not run.has_platform:
        arguments += ["--platform", "sagemaker"]
    known = prices.machine("sagemaker", options.instance_type)
    if known and not run.has_price:
        arguments += ["--price-core-hour", f"{options.price().by_hour / known.vcpu:.4f}"]
    return arguments


def _without(arguments: tuple[str, ...], option: str) -> list[str]:
    kept = []
    rest = list(arguments)
    while rest:
        item = rest.pop(0)
        if item == option:
            rest.pop(0)
        elif not item.startswith(option + "="):
            kept.append(item)
    return kept
