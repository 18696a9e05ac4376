"""Command-line options that define a data set, shared by all commands.

A command decorated with :func:`takes` receives them as one mapping from the option as typed to its
value, which `data.options.settings` converts to keys of `data.config.DataConfig`.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args, get_type_hints

import typer

from data.config import LayoutName

#: Heading above these options in the help of a command.
_PANEL = "How the images are read"
#: Parameter of a command that receives the mapping.
_PARAMETER = "data_options"


def _option(name: str, text: str, **more: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=_PANEL, show_default=False, **more)


class Source:
    """Options for the layout of the source, which gives classes and patients."""

    layout: Annotated[
        LayoutName | None,
        _option(
            "--layout",
            f"Layout of the folder: {', '.join(get_args(LayoutName))}. Detected by default.",
            metavar="LAYOUT",
        ),
    ]
    labels: Annotated[
        str | None,
        _option("--labels", "Table with the labels of the images in the folder.", metavar="TABLE"),
    ]
    path_column: Annotated[
        str | None,
        _option("--path-column", "Column of the table that names the image file.", metavar="NAME"),
    ]
    label_column: Annotated[
        str | None,
        _option("--label-column", "Column of the table that names the class.", metavar="NAME"),
    ]
    group_column: Annotated[
        str | None,
        _option("--group-column", "Column of the table that names the patient.", metavar="NAME"),
    ]
    class_pattern: Annotated[
        str | None,
        _option(
            "--class-pattern",
            "Regular expression, searched in the path relative to the folder, with the class in "
            "parentheses.",
            metavar="REGEX",
        ),
    ]
    group_pattern: Annotated[
        str | None,
        _option(
            "--group-pattern",
            "Regular expression, searched in the path relative to the folder, or in the key of an "
            r"LMDB, with the patient in parentheses, for example '(patient_\d+)'.",
            metavar="REGEX",
        ),
    ]


class Classes:
    """Options for the selection of the classes."""

    classes: Annotated[
        list[str] | None,
        _option(
            "--class",
            "Class to use, in label order; repeat the option for each class. NEW=A,B merges A and "
            "B. By default, all classes are used, sorted.",
            metavar="NAME",
        ),
    ]


class Division:
    """Options for the split into train, validation and test."""

    split: Annotated[
        str | None,
        _option(
            "--split",
            "'as-is' keeps the source's folders train, validation and test; any other value is the "
            "path of a manifest written by 'sparkdl-bench data split'.",
            metavar="HOW",
        ),
    ]
    split_by: Annotated[
        Literal["patient", "image"] | None,
        _option(
            "--split-by",
            "Unit that is kept on one side of the split; 'image' lets patients leak, which serves "
            "to measure the leak.",
        ),
    ]
    validation: Annotated[
        float | None,
        _option(
            "--validation",
            "Fraction of the images for validation; 0.15 by default.",
            metavar="SHARE",
        ),
    ]
    test: Annotated[
        float | None,
        _option("--test", "Fraction of the images for testing; 0.2 by default.", metavar="SHARE"),
    ]
    split_seed: Annotated[int | None, _option("--split-seed", "Seed of the split; 0 by default.")]
    test_fold: Annotated[
        list[str] | None,
        _option(
            "--test-fold",
            "Publisher's fold to test on, for example fold_2; may be repeated.",
            metavar="FOLD",
        ),
    ]
    validation_fold: Annotated[
        list[str] | None,
        _option(
            "--validation-fold",
            "Publisher's fold to validate on; may be repeated.",
            metavar="FOLD",
        ),
    ]


class Decoding:
    """Options for the size, the color mode and the treatment of damaged images."""

    image_size: Annotated[
        str | None,
        _option(
            "--image-size",
            "Size in pixels to which images are scaled: 128, or 96x128 for height x width.",
            metavar="SIZE",
        ),
    ]
    color: Annotated[
        Literal["rgb", "grey"] | None,
        _option("--color", "Color mode to which images are converted."),
    ]
    damaged: Annotated[
        Literal["reject", "accept"] | None,
        _option(
            "--damaged",
            "Treatment of damaged images that a decoder can repair: 'reject' leaves them out, "
            "'accept' uses them with a note.",
        ),
    ]
    max_reject_share: Annotated[
        float | None,
        _option(
            "--max-reject-share",
            "Fraction of unreadable images above which preparation stops; 0.05 by default.",
            metavar="SHARE",
        ),
    ]


#: All options of a run and of ``sparkdl-bench data prepare``.
ALL = (Source, Classes, Division, Decoding)


def takes(*groups: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds the options of ``groups`` to a command.

    The command receives them as its parameter ``data_options``: a mapping from each option that was
    given, as typed (``--image-size``), to its value.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        options = [parameter for group in groups for parameter in _parameters(group)]
        names = {parameter.name: _typed(parameter) for parameter in options}
        signature = inspect.signature(command)
        parameters = [
            parameter
            for one in signature.parameters.values()
            for parameter in (options if one.name == _PARAMETER else [one])
        ]

        @functools.wraps(command)
        def run(**values: Any) -> Any:
            given = {option: values.pop(name, None) for name, option in names.items()}
            return command(**values, **{_PARAMETER: _without_absent(given)})

        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate


def _parameters(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
        for name, hint in hints.items()
    ]


def _typed(parameter: inspect.Parameter) -> str:
    """Return the command-line option of a parameter, as a user types it."""
    return str(parameter.annotation.__metadata__[0].default)


def _without_absent(options: Mapping[str, Any]) -> dict[str, Any]:
    # Typer passes an empty list for a repeatable option that was not given.
    return {option: value for option, value in options.items() if value not in (None, [], ())}
