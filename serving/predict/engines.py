"""Choice between the classification in this process and on Spark."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data.images import OnDamage
from serving.classifier import Classifier
from serving.errors import ServingError
from serving.find import FoundModel
from serving.predict import bulk, local
from serving.predict.images import Images
from serving.predict.local import Seen
from serving.predict.results import Results

#: Number of images above which Spark is used unless the user decides.
SPARK_FROM_IMAGES = 5_000
#: Spark that is started and stopped with the command.
EMBEDDED = "embedded"


@dataclass(frozen=True)
class Engine:
    """Settings of the classification: in this process, or by the executors of a Spark cluster."""

    #: None uses Spark for many images whose classes are unknown. Validations stay in this process,
    #: which compares the pixels with those of the training images.
    spark: bool | None = None
    #: Spark URL, or `EMBEDDED`; another one implies Spark.
    master: str = EMBEDDED
    #: Number of executors of one core.
    workers: int = 2
    #: Packed environment that a cluster's executors run from; None uses the path of this Python.
    archive: str | None = None
    #: Folder for unfinished results of Spark.
    work: Path = Path("work")
    damaged: OnDamage = "reject"

    def uses_spark(self, images: Images) -> bool:
        """Return whether Spark classifies ``images``.

        Raises
        ------
        ServingError
            If the settings contradict each other.
        """
        if self.spark is False and self.master != EMBEDDED:
            raise ServingError("--no-spark and --master: give one of them")
        if self.archive is not None and self.master == EMBEDDED:
            raise ServingError("--environment-archive is for a cluster: give its --master")
        wanted = self.spark or self.master != EMBEDDED
        many = images.table.num_rows > SPARK_FROM_IMAGES and not images.is_labeled
        # Spark's tasks reject damaged images.
        if wanted and self.damaged == "accept":
            raise ServingError("--damaged accept is not available on Spark: give --no-spark")
        return wanted or (self.spark is None and many and self.damaged == "reject")

    def classify(
        self,
        model: FoundModel,
        images: Images,
        *,
        on_progress: Callable[[int, int], None],
        on_pixels: Callable[[Seen], None] = lambda seen: None,
    ) -> Results:
        """Return the results for ``images``.

        Parameters
        ----------
        model, images
            Model and images.
        on_progress
            Called with the number of processed images and the total.
        on_pixels
            Called with the pixels of each batch, if they are decoded in this process.
        """
        if self.uses_spark(images):
            return bulk.classify(
                model,
                images,
                work=self.work,
                master=self.master,
                workers=self.workers,
                archive=self.archive,
                on_progress=on_progress,
            )
        return local.classify(
            Classifier.open(model.folder),
            images,
            damaged=self.damaged,
            on_progress=on_progress,
            on_pixels=on_pixels,
        )
