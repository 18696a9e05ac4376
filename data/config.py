"""Configuration of a prepared data set: source, layout, classes, image size and split."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from data.addresses import plain_address
from data.errors import DataError
from data.names import one_spelling

#: Range of seeds that both NumPy and Keras accept.
Seed = Annotated[int, Field(ge=0, lt=2**32)]
LayoutName = Literal["c-nmc", "ham10000", "malaria", "folders", "csv", "dicom", "lmdb"]
#: Unit of a split, whose images are kept on one side: a patient, a lesion, or a single image if
#: the source identifies neither.
Unit = Literal["patient", "lesion", "image"]


def _address(text: str) -> str:
    try:
        return plain_address(text)
    except DataError as error:
        raise ValueError(str(error)) from None


#: A path on this machine or ``s3://bucket/prefix``, as `data.addresses.plain_address` returns it.
Address = Annotated[str, AfterValidator(_address)]
#: Name of a class or a fold, normalized by `data.names.one_spelling`.
Name = Annotated[str, AfterValidator(one_spelling)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageConfig(_Frozen):
    """Size in pixels and color mode to which every image is converted."""

    #: Height in pixels.
    height: Annotated[int, Field(ge=8, le=2048)] = 48
    #: Width in pixels.
    width: Annotated[int, Field(ge=8, le=2048)] = 48
    #: ``grey`` has one channel, ``rgb`` has three.
    color: Literal["rgb", "grey"] = "rgb"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, 3 if self.color == "rgb" else 1


class SplitConfig(_Frozen):
    """Settings of the division of groups into train, validation and test."""

    #: Unit that stays on one side of the split; ``image`` ignores patients (for a leak audit).
    by: Literal["patient", "image"] = "patient"
    #: ``stratified`` draws groups at random; ``folds`` uses the publisher's folds given below;
    #: ``as-is`` uses the source's own folders train, validation and test.
    method: Literal["stratified", "folds", "as-is"] = "stratified"
    #: Fraction of the images for validation.
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.15
    #: Fraction of the images for the test.
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    #: Seed of the random draw of groups.
    seed: Seed = 0
    #: With ``method: folds``: the publisher's folds that become test and validation. Without
    #: validation folds, validation patients are drawn from the remaining ones.
    test_folds: tuple[Name, ...] = ()
    #: With ``method: folds``: the publisher's folds that become validation.
    validation_folds: tuple[Name, ...] = ()
    #: Number of training images to use, spaced evenly over all patients; validation and test are
    #: not reduced. None uses all.
    train_images: Annotated[int, Field(ge=1)] | None = None
    #: Manifest written by ``sparkdl-bench data split``, used unchanged.
    manifest: Address | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "SplitConfig":
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must leave images to train on")
        if self.method == "folds" and not self.test_folds:
            raise ValueError("folds to test on are missing: give --test-fold, for example fold_2")
        return self


class DataConfig(_Frozen):
    """All settings that determine the rows and pixels of a prepared data set."""

    #: Folder with images, or ``synthetic`` for generated cells.
    source: Address = "synthetic"
    #: How the folder is read; None recognizes the layout.
    layout: LayoutName | None = None
    #: Table with labels for the images below ``source``, for the layout ``csv``.
    labels: Address | None = None
    #: Column with the paths of the images; None detects it by its name and contents.
    path_column: str | None = None
    #: Column with the classes; None detects it by its name and contents.
    label_column: str | None = None
    #: Column with the patients; None detects it by its name and contents.
    group_column: str | None = None
    #: For the layout ``folders``: regular expression, searched in the path relative to the source,
    #: whose group ``class`` (or first group) gives the class; None detects the folder level.
    class_pattern: str | None = None
    #: For the layouts ``folders`` and ``lmdb``: regular expression whose group ``patient`` (or the
    #: first group) gives the patient; None detects the folder level. It is searched in the path
    #: relative to the source; for a database, in its folder followed by the path in the key.
    group_pattern: str | None = None
    #: Classes in label order: a list of class names of the layout, or a mapping from each new name
    #: to the layout's names that are merged into it. None selects all, sorted. Images of other
    #: classes are left out.
    classes: dict[Name, tuple[Name, ...]] | tuple[Name, ...] | None = None
    image: ImageConfig = ImageConfig()
    split: SplitConfig = SplitConfig()
    #: Treatment of a damaged image that a decoder can repair (a wrong checksum, a warning of
    #: libjpeg): ``reject`` leaves it out, ``accept`` uses it with a note. Images that cannot be
    #: decoded are always rejected.
    damaged: Literal["reject", "accept"] = "reject"
    #: Fraction of unreadable images above which an ingest stops. Files that are not images, images
    #: of unsupported formats and hidden files do not count.
    max_reject_share: Annotated[float, Field(ge=0, le=1)] = 0.05
