"""The options that say what a data set is made of: one definition for every command.

A command that is decorated with :func:`takes` gets them as one mapping from the option as it is
typed to its value, which `data.options.settings` turns into keys of `data.config.DataConfig`.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args, get_type_hints

import typer

from data.config import LayoutName

#: Heading above these options in the help of a command.
_PANEL = "How the images are read"
#: The parameter of a command that takes the mapping.
_PARAMETER = "data_options"


def _option(name: str, text: str, **more: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=_PANEL, show_default=False, **more)


class Source:
    """Layout of the source: where it names classes and patients."""

    layout: Annotated[
        LayoutName | None,
        _option(
            "--layout",
            f"Layout of the folder: {', '.join(get_args(LayoutName))}. Without the option it is "
            "recognised.",
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
            "Regular expression, searched in the path below the folder, with the class in "
            "parentheses.",
            metavar="REGEX",
        ),
    ]
    group_pattern: Annotated[
        str | None,
        _option(
            "--group-pattern",
            "Regular expression, searched in the path below the folder, with the patient in "
            r"parentheses, for example '(patient_\d+)'.",
            metavar="REGEX",
        ),
    ]


class Classes:
    """Selection of the classes."""

    classes: Annotated[
        list[str] | None,
        _option(
            "--class",
            "Class to take, in label order; repeat it for each. NEW=A,B merges A and B. Without "
            "the option, all classes are taken, sorted.",
            metavar="NAME",
        ),
    ]


class Division:
    """Division of the images between train, validation and test."""

    split: Annotated[
        str | None,
        _option(
            "--split",
            "'as-is' keeps the folders train, validation and test of the source; any other value "
            "is a manifest of 'python -m data split'.",
            metavar="HOW",
        ),
    ]
    split_by: Annotated[
        Literal["patient", "image"] | None,
        _option(
            "--split-by",
            "What stays on one side of the split; 'image' lets patients leak, which measures the "
            "leak.",
        ),
    ]
    validation: Annotated[
        float | None,
        _option(
            "--validation",
            "Share of the images to validate on; 0.15 by default.",
            metavar="SHARE",
        ),
    ]
    test: Annotated[
        float | None,
        _option("--test", "Share of the images to test on; 0.2 by default.", metavar="SHARE"),
    ]
    split_seed: Annotated[int | None, _option("--split-seed", "Seed of the split; 0 by default.")]
    test_fold: Annotated[
        list[str] | None,
        _option(
            "--test-fold",
            "Publisher's fold to test on, for example fold_2; repeat it.",
            metavar="FOLD",
        ),
    ]
    validation_fold: Annotated[
        list[str] | None,
        _option("--validation-fold", "Publisher's fold to validate on; repeat it.", metavar="FOLD"),
    ]


class Decoding:
    """Size, colour mode and treatment of damage of each image."""

    image_size: Annotated[
        str | None,
        _option(
            "--image-size",
            "Size in pixels that images are scaled to: 128, or 96x128 for height x width.",
            metavar="SIZE",
        ),
    ]
    color: Annotated[
        Literal["rgb", "grey"] | None, _option("--color", "Colour mode that images are brought to.")
    ]
    damaged: Annotated[
        Literal["reject", "accept"] | None,
        _option(
            "--damaged",
            "Treatment of images whose damage a decoder can repair: 'reject' leaves them out, "
            "'accept' takes them with a note.",
        ),
    ]
    max_reject_share: Annotated[
        float | None,
        _option(
            "--max-reject-share",
            "Share of unreadable images above which nothing is prepared; 0.05 by default.",
            metavar="SHARE",
        ),
    ]


#: All options of a run and of ``python -m data prepare``.
ALL = (Source, Classes, Division, Decoding)


def takes(*groups: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that gives a command the options of ``groups``.

    The command takes them as its parameter ``data_options``, a mapping from each option that was
    given, as it is typed (``--image-size``), to its value.
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
    """Return the option of a parameter as a user types it."""
    return str(parameter.annotation.__metadata__[0].default)


def _without_absent(options: Mapping[str, Any]) -> dict[str, Any]:
    # An option that may be repeated is an empty list where it was not given.
    return {option: value for option, value in options.items() if value not in (None, [], ())}
