"""Schema of an experiment: every setting of a run, frozen and validated before the run starts."""

import os
import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from backends.registry import address_of, check_names, known, register
from data.config import Address, DataConfig, Name, Seed
from data.imbalance import Imbalance
from data.names import visible
from data.store_address import DEFAULT_URI
from experiments.record_names import key_parts
from experiments.reserved_settings import check_reserved
from experiments.threshold_rule import rule_of
from models import ModelConfig, OptimizerConfig

#: Master of a cluster that is started on this machine for the run.
EMBEDDED = "embedded"
#: Path of Python in the project's container image.
IMAGE_PYTHON = "/opt/sparkdl/bin/python"
#: Maximum length in characters of an experiment's name, which prefixes names of models and folders.
LONGEST_NAME = 150
#: Spark settings whose values are secrets.
_SECRET = re.compile(r"(secret|password|token|(secret|access)[._]?key)$", re.IGNORECASE)
#: Spark settings that contain the name of a secret instead of its value.
_REFERENCE = re.compile(r"\.secretKeyRef\.|\.secrets\.")


#: Masters that Spark supports, including those of platform-specific cluster managers
#: (``custom:name``).
_MASTER = re.compile(
    r"embedded|yarn|local(-cluster)?(\[[^\]]+\])?|spark://[^\s/,]+(,[^\s/,]+)*|k8s://\S+"
    r"|[a-z][\w-]*:[^/\s]\S*"
)
#: Numbers that are passed to Java as 32-bit signed integers.
Count = Annotated[int, Field(ge=1, lt=2**31)]


def _written(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) else value


#: Rule for the decision threshold in the form of `experiments.threshold_rule.Rule`.
ThresholdRule = Annotated[
    str, BeforeValidator(_written), AfterValidator(lambda text: str(rule_of(text)))
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SparkConfig(_Frozen):
    """Spark cluster of a run and the resources of its processes."""

    #: ``embedded``: a standalone master and one-core executors on this machine, started for the run
    #: and stopped with it. Otherwise a Spark URL.
    master: str = EMBEDDED
    #: Heap of each executor, with ``m`` or ``g`` for MiB or GiB.
    executor_memory: Annotated[str, Field(pattern=r"^\d+[mg]$")] = "1g"
    #: Heap of the driver, in the same form.
    driver_memory: Annotated[str, Field(pattern=r"^\d+[mg]$")] = "1g"
    #: Python that the executors start. ``path``: the one at this interpreter's path; ``archive``:
    #: the one in the archive that Spark sends them; ``image``: the one installed on their machines
    #: or in their containers.
    environment: Literal["path", "archive", "image"] = "path"
    #: Archive made by ``sparkdl-bench deploy pack``: a file, or an address that Spark or this
    #: machine can read.
    environment_archive: Annotated[str, AfterValidator(os.path.expanduser)] | None = None
    #: Path of Python in the executors' image.
    environment_python: str = IMAGE_PYTHON
    #: Network of a cluster that is started for the run, of its executors and of the driver.
    #: ``private``: a loopback interface of their own, which no other account of the machine can
    #: reach; ``host``: the network of this machine; ``auto``: ``private`` where the kernel allows
    #: it and no part of the run needs more.
    network: Literal["auto", "private", "host"] = "auto"
    #: Spark settings, passed on unchanged; they override those of the harness and of the backend.
    conf: dict[str, str] = {}

    @field_validator("master")
    @classmethod
    def _known_master(cls, value: str) -> str:
        if _MASTER.fullmatch(value) is None:
            raise ValueError(
                f"'{value}' is not a Spark master: use {EMBEDDED}, local[2], spark://host:7077, "
                "yarn or k8s://https://host:6443"
            )
        return value

    @field_validator("conf")
    @classmethod
    def _without_secrets(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if _SECRET.search(name) and not _REFERENCE.search(name):
                raise ValueError(
                    f"{name} is a secret and would be stored in the record: set it in the "
                    "spark-defaults.conf of SPARK_CONF_DIR"
                )
        return value

    @model_validator(mode="after")
    def _whole(self) -> "SparkConfig":
        if (self.environment == "archive") != (self.environment_archive is not None):
            raise ValueError(
                "environment 'archive' and the archive must be given together: --environment "
                "archive --environment-archive environment.tar.gz"
            )
        if self.environment != "path" and not self.has_own_executors:
            raise ValueError(
                f"environment '{self.environment}' is for executors on other machines; those of "
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
        """True if the executors belong to a cluster that the harness does not start."""
        return self.master != EMBEDDED and not self.master.startswith("local")


class PriceConfig(_Frozen):
    """Prices of the platform; with zeros, costs are not reported."""

    #: Price of one core for an hour.
    core_hour: Annotated[float, Field(ge=0)] = 0.0
    #: Price of one gibibyte of memory for an hour.
    gb_hour: Annotated[float, Field(ge=0)] = 0.0
    #: Name of the currency in reports.
    currency: str = "USD"


class EnergyConfig(_Frozen):
    """Measurement of energy."""

    #: Three-letter ISO 3166 code of the country whose power mix converts energy to grams of CO2.
    #: With None, energy is not measured.
    country: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None


class Experiment(_Frozen):
    """The content of an experiment file. Every key may be overridden on the command line."""

    #: Name of the MLflow experiment, and first part of the names of registered models.
    name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
    #: Text that is stored with the record.
    description: str = ""
    data: DataConfig = DataConfig()
    #: Positive class of F1, sensitivity and ROC AUC.
    positive_class: Name
    #: Decision threshold of the positive class: a number, or the rule ``youden``,
    #: ``sensitivity=0.95`` or ``specificity=0.9`` by which it is chosen on the validation images.
    #: 0.5 selects the most probable class.
    threshold: ThresholdRule = "0.5"
    #: ``temperature`` scales the probabilities by a temperature that is fitted to the validation
    #: images, before the threshold is chosen and the scores are computed.
    calibration: Literal["none", "temperature"] = "none"
    #: Score shown first on the terminal; a challenge may rank by a score other than F1.
    headline: Literal["f1", "weighted_f1", "macro_f1"] = "f1"
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    #: Number of passes over the training images.
    epochs: Count = 5
    #: Global batch size: images per optimizer step, summed over all workers.
    batch_size: Count = 64
    #: Handling of classes of unequal size, the same for every backend: ``weights`` weights each
    #: image by the rarity of its class, ``sampling`` draws the same number of images of each class.
    #: Scores and the validation loss are computed on the unweighted, unsampled images.
    imbalance: Imbalance = "none"
    #: Number of one-core executors, or of threads for a backend without Spark.
    workers: Count = 2
    #: Seeds of the initial weights and of the order of images; one run of each backend for each.
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    #: ``package.module:Class`` of each backend that is not of the project or an installed package,
    #: by name; filled in from ``backends``.
    backend_classes: dict[str, str] = {}
    #: Backends to run, by name or as ``package.module:Class``; ``all`` selects every backend.
    backends: Annotated[tuple[str, ...], Field(min_length=1)] = ("keras_local", "elephas")
    #: Backend-specific options, by backend.
    backend_options: dict[str, dict[str, Any]] = {}
    spark: SparkConfig = SparkConfig()
    #: Time limit of one run in seconds, including the start of Spark.
    time_limit: Annotated[float, Field(gt=0)] = 3600
    #: MLflow server or database that keeps the records.
    tracking_uri: Annotated[str, Field(min_length=1)] = DEFAULT_URI
    #: Folder or ``s3://`` prefix for prepared data, which executors must be able to read; None uses
    #: the folder of ``--work``.
    prepared: Address | None = None
    #: Folder or ``s3://`` prefix for artifacts, used when MLflow creates the experiment; with None,
    #: MLflow chooses it.
    artifacts: Address | None = None
    #: Start every backend once without training before the first of several runs; otherwise only
    #: the first run would include the time to read files that are not cached in memory yet.
    warm_up: bool = True
    #: Name of the platform in comparisons: laptop, emr, sagemaker …
    platform: Annotated[str, Field(min_length=1)] = "here"
    price: PriceConfig = PriceConfig()
    energy: EnergyConfig = EnergyConfig()

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if visible(value) != value or any(part in ("", ".", "..") for part in value.split("/")):
            raise ValueError(
                f"'{visible(value)}' is not a valid name: MLflow experiments and folders are named "
                "after it"
            )
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
                "the address holds a password, which would be stored in the record: set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead, or for a database "
                "its own configuration files (PGSERVICEFILE)"
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
                "it is the global batch size, divided among the workers (--batch-size, --workers)"
            )
        if self.batch_size % self.workers:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be divided equally among {self.workers} "
                f"workers: use {self.batch_size // self.workers * self.workers} or "
                f"{(self.batch_size // self.workers + 1) * self.workers} (--batch-size)"
            )
        unknown = [n for n in self.backend_options if n not in (*known(), *self.backends)]
        if unknown:
            raise ValueError(f"backend_options has unknown backends: {', '.join(unknown)}")
        return self


class RunPlan(_Frozen):
    """One run of an experiment: a backend and a seed."""

    experiment: Experiment
    backend: str
    seed: Seed
    #: Split whose images are predicted and scored. With ``validation``, test images are not read.
    evaluation_split: Literal["test", "validation"] = "test"

    def flat(self) -> dict[str, str]:
        """Return the plan as the parameters of its record, with dotted keys."""
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
