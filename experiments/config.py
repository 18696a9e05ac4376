"""An experiment: everything that decides a run, frozen and validated before anything starts."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from backends.registry import known
from data.config import DataConfig
from models import ModelConfig, OptimizerConfig

DEFAULT_URI = "sqlite:///mlflow.db"
#: A cluster started for the run on this machine.
EMBEDDED = "embedded"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SparkConfig(_Frozen):
    """Where training runs and what each executor gets."""

    #: ``embedded``: a standalone master and one-core workers on this machine, started for the run
    #: and taken down with it. Else a Spark URL.
    master: str = EMBEDDED
    executor_memory: Annotated[str, Field(pattern=r"^\d+[mg]$")] = "1g"
    driver_memory: Annotated[str, Field(pattern=r"^\d+[mg]$")] = "1g"
    #: Settings for Spark as they are, stronger than the harness's and the backend's own.
    conf: dict[str, str] = {}

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

    name: Annotated[str, Field(min_length=1)]
    description: str = ""
    data: DataConfig = DataConfig()
    #: The class that F1, sensitivity and ROC AUC are about.
    positive_class: str
    #: The score that stands first on the terminal; a challenge may rank by another than F1.
    headline: Literal["f1", "weighted_f1", "macro_f1"] = "f1"
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    epochs: Annotated[int, Field(ge=1)] = 5
    #: Images per optimiser step over all workers together.
    batch_size: Annotated[int, Field(ge=1)] = 64
    #: Executors of one core; the threads of a backend without Spark.
    workers: Annotated[int, Field(ge=1)] = 2
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    backends: Annotated[tuple[str, ...], Field(min_length=1)] = ("keras_local", "elephas")
    #: Options of a backend's own, by backend.
    backend_options: dict[str, dict[str, Any]] = {}
    spark: SparkConfig = SparkConfig()
    #: Seconds that one run may take, start of Spark included.
    time_limit: Annotated[float, Field(gt=0)] = 3600
    tracking_uri: str = DEFAULT_URI
    #: Folder or ``s3://`` prefix for prepared data, which executors must reach; None takes the
    #: folder of ``--work``.
    prepared: str | None = None
    #: Folder or ``s3://`` prefix for what runs leave, where MLflow makes the experiment anew; None
    #: leaves it to MLflow.
    artifacts: str | None = None
    #: Before the first of several runs, start every backend once without training: the first one
    #: would otherwise pay for files that are not in memory yet.
    warm_up: bool = True
    #: What the machine is called in comparisons: laptop, emr, sagemaker …
    platform: Annotated[str, Field(min_length=1)] = "here"
    price: PriceConfig = PriceConfig()
    energy: EnergyConfig = EnergyConfig()

    @field_validator("seeds", "backends")
    @classmethod
    def _without_repeats(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _consistent(self) -> "Experiment":
        if self.batch_size < self.workers:
            raise ValueError(
                f"batch_size {self.batch_size} is below the number of workers {self.workers}: "
                "it is the global batch, of which each worker takes its share"
            )
        if self.batch_size % self.workers:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be shared equally by {self.workers} "
                f"workers: use {self.batch_size // self.workers * self.workers} or "
                f"{(self.batch_size // self.workers + 1) * self.workers}"
            )
        unknown = [n for n in self.backend_options if n not in (*known(), *self.backends)]
        if unknown:
            raise ValueError(f"backend_options names no backend: {', '.join(unknown)}")
        return self


class RunPlan(_Frozen):
    """One run of an experiment: a backend and a seed."""

    experiment: Experiment
    backend: str
    seed: int
    #: Whose images are predicted and scored. With ``validation`` the test images stay unread.
    judged: Literal["test", "validation"] = "test"

    def flat(self) -> dict[str, str]:
        """Return the plan with dotted keys, as it stands in the record's parameters."""
        content = self.model_dump(mode="json")
        del content["experiment"]["seeds"], content["experiment"]["backends"]
        flat: dict[str, str] = {
            "backend": self.backend,
            "seed": str(self.seed),
            "judged": self.judged,
        }
        _flatten(content["experiment"], "", flat)
        return flat


def _flatten(value: Any, prefix: str, into: dict[str, str]) -> None:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            _flatten(item, f"{prefix}{key}.", into)
    else:
        into[prefix.rstrip(".")] = str(value)
