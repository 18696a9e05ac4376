"""Conversion of the options of ``python -m data`` into the configuration."""

from collections.abc import Sequence
from typing import Literal

from data.config import ImageConfig, SplitConfig
from data.errors import DataError
from data.names import one_spelling


def classes_of(
    options: Sequence[str] | None,
) -> dict[str, tuple[str, ...]] | tuple[str, ...] | None:
    """Read ``NAME`` or ``NEW=A,B`` options as the configuration's list or mapping."""
    if not options:
        return None
    if not any("=" in option for option in options):
        return tuple(options)
    merged: dict[str, tuple[str, ...]] = {}
    for option in options:
        new, _, names = option.partition("=")
        new = one_spelling(new)
        if new in merged:
            raise DataError(f"class '{new}' is asked for twice")
        merged[new] = tuple(filter(None, names.split(","))) if names else (new,)
    return merged


def image_of(
    size: int | None, height: int | None, width: int | None, color: Literal["rgb", "grey"]
) -> ImageConfig:
    """Return size and colour of the images; nothing given is the configuration's default.

    Raises
    ------
    DataError
        When one of height and width is missing, or both are given beside the size.
    """
    if size is not None and (height is not None or width is not None):
        raise DataError("--size sets height and width; give either it or --height and --width")
    if size is not None:
        height = width = size
    if height is None and width is None:
        return ImageConfig(color=color)
    if height is None or width is None:
        raise DataError("--height and --width belong together; --size sets both")
    return ImageConfig(height=height, width=width, color=color)


def division_of(
    *,
    validation: float,
    test: float,
    seed: int,
    by: Literal["patient", "image"],
    test_folds: Sequence[str] | None,
    validation_folds: Sequence[str] | None,
    manifest: str | None = None,
) -> SplitConfig:
    """Return the division that the options ask for.

    Raises
    ------
    DataError
        When folds are named beside a manifest.
    """
    folds = bool(test_folds or validation_folds)
    if folds and manifest is not None:
        raise DataError("a manifest says where every patient stands; give no folds beside it")
    return SplitConfig(
        by=by,
        method="folds" if folds else "stratified",
        validation=validation,
        test=test,
        seed=seed,
        test_folds=tuple(test_folds or ()),
        validation_folds=tuple(validation_folds or ()),
        manifest=manifest,
    )
