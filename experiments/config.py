"""An experiment: everything that decides a run, frozen and validated before anything starts."""

import os
import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from backends.registry import address_of, check_names, known, register
from data.config import Address, DataConfig, Name, Seed
from data.imbalance import Imbalance
from data.names import visible
from experiments.record_names import key_parts
from experiments.reserved_settings import check_reserved
from experiments.store_address import DEFAULT_URI
from models import ModelConfig, OptimizerConfig

#: A cluster started for the run on this machine.
EMBEDDED = "embedded"
#: Where the project's container image has its Python.
IMAGE_PYTHON = "/opt/sparkdl/bin/python"
#: Characters of an experiment's name, with which those of models and folders begin.
LONGEST_NAME = 150
#: Names of Spark's settings whose values are secrets.
_SECRET = re.compile(r"(secret|password|token|(secret|access)[._]?key)$", re.IGNORECASE)
#: Settings that hold the name of a secret instead.
_REFERENCE = re.compile(r"\.secretKeyRef\.|\.secrets\.")


#: Masters that Spark knows, those of platforms that bring their own (``custom:name``) included.
_MASTER = re.compile(
    r"embedded|yarn|local(-cluster)?(\[[^\]]+\])?|spark://[^\s/,]+(,[^\s/,]+)*|k8s://\S+"
    r"|[a-z][\w-]*:[^/\s]\S*"
)
#: Numbers that end up in Java, which has none that are larger.
Count = Annotated[int, Field(ge=1, lt=2**31)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SparkConfig(_Frozen):
    """Where training runs and what each executor gets."""

    #: ``embedded``: a standalone master and one-core workers on this machine, started for the run
    #: and taken down with it. Else a Spark URL.
    master: str = EMBEDDED
    executor_memory: Annotated[str, Field(pattern=r"^\d+[mg]$")] = "1g"
    driver_memory: Annotated[str, Field(pattern=r"^\d+[mg]$")] = "1g"
    #: Whose Python executors start. ``path``: the one at this interpreter's path; ``archive``: the
    #: one that Spark sends them; ``image``: the one that their machines or containers come with.
    environment: Literal["path", "archive", "image"] = "path"
    #: File, or address that Spark or this machine reads, that ``python -m deploy pack`` has made.
    environment_archive: Annotated[str, AfterValidator(os.path.expanduser)] | None = None
    #: Path of Python in the executors' image.
    environment_python: str = IMAGE_PYTHON
    #: Reach of a cluster that is started for the run, of its executors and of the driver.
    #: ``private``: one another alone, on a loopback of their own that no other account of the
    #: machine reaches; ``host``: what every program of this machine reaches; ``auto``: ``private``
    #: where the kernel allows it and no part of the run needs more.
    network: Literal["auto", "private", "host"] = "auto"
    #: Settings for Spark as they are, stronger than the harness's and the backend's own.
    conf: dict[str, str] = {}

    @field_validator("master")
    @classmethod
    def _known_master(cls, value: str) -> str:
        if _MASTER.fullmatch(value) is None:
            raise ValueError(
                f"'{value}' is no cluster: write {EMBEDDED}, local[2], spark://host:7077, yarn or "
                "k8s://https://host:6443"
            )
        return value

    @field_validator("conf")
    @classmethod
    def _without_secrets(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if _SECRET.search(name) and not _REFERENCE.search(name):
                raise ValueError(
                    f"{name} is a secret and would stand in the record: set it in the "
                    "spark-defaults.conf of SPARK_CONF_DIR"
                )
        return value

    @model_validator(mode="after")
    def _whole(self) -> "SparkConfig":
        if (self.environment == "archive") != (self.environment_archive is not None):
            raise ValueError(
                "environment 'archive' and the archive go together: --environment archive "
                "--environment-archive environment.tar.gz"
            )
        if self.environment != "path" and not self.has_own_executors:
            raise ValueError(
                f"environment '{self.environment}' is for executors elsewhere; those of "
                f"'{self.master}' run this machine's Python: name a cluster with --master"
            )
        if self.network == "private" and self.has_own_executors:
            raise ValueError(
                f"network 'private' is for a cluster that is started for the run; '{self.master}' "
                "has its own network"
            )
        if not self.has_own_executors:
            check_reserved(self.conf)
        return self

    @property
    def has_own_executors(self) -> bool:
        """Whether executors are processes that the harness has not started."""
        return self.master != EMBEDDED and not self.master.startswith("local")


class PriceConfig(_Frozen):
    """What the platform asks; zero leaves cost out."""

    core_hour: Annotated[float, Field(ge=0)] = 0.0
    #: Gibibytes of memory, by the hour.
    gb_hour: Annotated[float, Field(ge=0)] = 0.0
    currency: str = "USD"


class EnergyConfig(_Frozen):
    """Whether energy is measured."""

    #: Three letters of ISO 3166, for grams of CO2 by its power mix; None measures no energy.
    country: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None


class Experiment(_Frozen):
    """The content of an experiment file. Every key may be overridden on the command line."""

    name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
    description: str = ""
    data: DataConfig = DataConfig()
    #: The class that F1, sensitivity and ROC AUC are about.
    positive_class: Name
    #: The score that stands first on the terminal; a challenge may rank by another than F1.
    headline: Literal["f1", "weighted_f1", "macro_f1"] = "f1"
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    epochs: Count = 5
    #: Images per optimiser step over all workers together.
    batch_size: Count = 64
    #: What is done about classes of unequal size, the same way for every backend: ``weights`` lets
    #: an image count as its class is rare, ``sampling`` draws equally many images of each class.
    #: Scores are of the images as they are, and so is the validation loss.
    imbalance: Imbalance = "none"
    #: Executors of one core; the threads of a backend without Spark.
    workers: Count = 2
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    #: ``package.module:Class`` of each backend that is not of the project or an installed package,
    #: by name; filled in from ``backends``.
    backend_classes: dict[str, str] = {}
    backends: Annotated[tuple[str, ...], Field(min_length=1)] = ("keras_local", "elephas")
    #: Options of a backend's own, by backend.
    backend_options: dict[str, dict[str, Any]] = {}
    spark: SparkConfig = SparkConfig()
    #: Seconds that one run may take, start of Spark included.
    time_limit: Annotated[float, Field(gt=0)] = 3600
    tracking_uri: Annotated[str, Field(min_length=1)] = DEFAULT_URI
    #: Folder or ``s3://`` prefix for prepared data, which executors must reach; None takes the
    #: folder of ``--work``.
    prepared: Address | None = None
    #: Folder or ``s3://`` prefix for what runs leave, where MLflow makes the experiment anew; None
    #: leaves it to MLflow.
    artifacts: Address | None = None
    #: Before the first of several runs, start every backend once without training: the first one
    #: would otherwise pay for files that are not in memory yet.
    warm_up: bool = True
    #: What the machine is called in comparisons: laptop, emr, sagemaker …
    platform: Annotated[str, Field(min_length=1)] = "here"
    price: PriceConfig = PriceConfig()
    energy: EnergyConfig = EnergyConfig()

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if visible(value) != value or any(part in ("", ".", "..") for part in value.split("/")):
            raise ValueError(f"'{visible(value)}' is no name: MLflow and folders are called by it")
        return value

    @field_validator("seeds")
    @classmethod
    def _without_repeats(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(value))

    @field_validator("backend_classes")
    @classmethod
    def _registered(cls, value: dict[str, str]) -> dict[str, str]:
        return {register(address): address for address in value.values()}

    @field_validator("backends")
    @classmethod
    def _known_backends(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return check_names(value)

    @field_validator("tracking_uri")
    @classmethod
    def _without_password(cls, value: str) -> str:
        if urlsplit(value).password is not None:
            raise ValueError(
                "the address holds a password, which would stand in the record: give it in "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, that of a database in its "
                "own files (PGSERVICEFILE)"
            )
        return value

    @model_validator(mode="after")
    def _with_classes(self) -> "Experiment":
        for name in self.backends:
            if (address := address_of(name)) is not None:
                self.backend_classes[name] = address
        return self

    @model_validator(mode="after")
    def _consistent(self) -> "Experiment":
        if self.batch_size < self.workers:
            raise ValueError(
                f"batch_size {self.batch_size} is below the number of workers {self.workers}: "
                "it is the global batch, of which each worker takes its share (--batch-size, "
                "--workers)"
            )
        if self.batch_size % self.workers:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be shared equally by {self.workers} "
                f"workers: use {self.batch_size // self.workers * self.workers} or "
                f"{(self.batch_size // self.workers + 1) * self.workers} (--batch-size)"
            )
        unknown = [n for n in self.backend_options if n not in (*known(), *self.backends)]
        if unknown:
            raise ValueError(f"backend_options names no backend: {', '.join(unknown)}")
        return self


class RunPlan(_Frozen):
    """One run of an experiment: a backend and a seed."""

    experiment: Experiment
    backend: str
    seed: Seed
    #: Whose images are predicted and scored. With ``validation`` the test images stay unread.
    evaluation_split: Literal["test", "validation"] = "test"

    def flat(self) -> dict[str, str]:
        """Return the plan with dotted keys, as it stands in the record's parameters."""
        content = self.model_dump(mode="json")
        del content["experiment"]["seeds"], content["experiment"]["backends"]
        del content["experiment"]["backend_classes"]
        flat: dict[str, str] = {
            "backend": self.backend,
            "seed": str(self.seed),
            "judged": self.evaluation_split,
        }
        if self.backend in self.experiment.backend_classes:
            flat["backend_class"] = self.experiment.backend_classes[self.backend]
        _flatten(content["experiment"], "", flat)
        return flat


def _flatten(value: Any, prefix: str, into: dict[str, str]) -> None:
    if isinstance(value, dict) and value:
        parts = key_parts(value)
        for key, item in value.items():
            _flatten(item, f"{prefix}{parts[key]}.", into)
    else:
        into[prefix.rstrip(".")] = str(value)
