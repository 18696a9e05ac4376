"""What a prepared data set is made of: source, layout, classes, image size and split."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from data.addresses import plain_address
from data.errors import DataError
from data.names import one_spelling

#: What NumPy and Keras take for a seed.
Seed = Annotated[int, Field(ge=0, lt=2**32)]
LayoutName = Literal["c-nmc", "ham10000", "malaria", "folders", "csv", "dicom"]
#: Unit of a split, whose images stand on one side: a patient, a lesion, or a single image
#: where the source names neither.
Unit = Literal["patient", "lesion", "image"]


def _address(text: str) -> str:
    try:
        return plain_address(text)
    except DataError as error:
        raise ValueError(str(error)) from None


#: A path of this machine or ``s3://bucket/prefix``, as `data.addresses.plain_address` returns it.
Address = Annotated[str, AfterValidator(_address)]
#: Name of a class or a fold, in its one spelling.
Name = Annotated[str, AfterValidator(one_spelling)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageConfig(_Frozen):
    """Size in pixels and colour mode that every image is brought to."""

    height: Annotated[int, Field(ge=8, le=2048)] = 48
    width: Annotated[int, Field(ge=8, le=2048)] = 48
    color: Literal["rgb", "grey"] = "rgb"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, 3 if self.color == "rgb" else 1


class SplitConfig(_Frozen):
    """How groups are divided between train, validation and test."""

    by: Literal["patient", "image"] = "patient"
    #: ``stratified`` draws groups; ``folds`` takes the publisher's folds named below; ``as-is``
    #: takes the source's own folders train, validation and test.
    method: Literal["stratified", "folds", "as-is"] = "stratified"
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.15
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: Seed = 0
    #: With ``method: folds``: the publisher's folds that become test and validation. Without
    #: validation folds, validation patients are drawn from the remaining ones.
    test_folds: tuple[Name, ...] = ()
    validation_folds: tuple[Name, ...] = ()
    #: Train on so many images only, evenly from all patients; validation and test stay whole.
    train_images: Annotated[int, Field(ge=1)] | None = None
    #: A manifest written by ``python -m data split``, used as it is.
    manifest: Address | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "SplitConfig":
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must leave images to train on")
        if self.method == "folds" and not self.test_folds:
            raise ValueError("folds to test on are missing: give --test-fold, for example fold_2")
        return self


class DataConfig(_Frozen):
    """Everything that decides the rows and pixels of a prepared data set."""

    #: Folder with images, or ``synthetic`` for generated cells.
    source: Address = "synthetic"
    layout: LayoutName | None = None
    #: Table with labels for the images below ``source``, of the layout ``csv``.
    labels: Address | None = None
    #: Columns of the table; None recognises them by their names and contents.
    path_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None
    #: For the layout ``folders``: a regular expression, searched in the path below the source,
    #: whose group ``class`` (or first group) names the class; None finds the folder level.
    class_pattern: str | None = None
    #: For the layout ``folders``: a regular expression, searched in the path below the source,
    #: whose group ``patient`` (or first group) names the patient; None finds the folder level.
    group_pattern: str | None = None
    #: Classes in label order: a list of class names of the layout, or a mapping from a new name
    #: to the layout's names that it takes in. None takes all, sorted. Images of other classes
    #: are left out.
    classes: dict[Name, tuple[Name, ...]] | tuple[Name, ...] | None = None
    image: ImageConfig = ImageConfig()
    split: SplitConfig = SplitConfig()
    #: Treatment of an image whose damage a decoder can repair (a wrong checksum, a warning of
    #: libjpeg): ``reject`` leaves it out, ``accept`` takes it with a note. What cannot be decoded
    #: is a reject either way.
    damaged: Literal["reject", "accept"] = "reject"
    #: Share of unreadable images above which an ingest stops. Files that are no images, images of
    #: formats that are not read and hidden files do not count.
    max_reject_share: Annotated[float, Field(ge=0, le=1)] = 0.05
