"""Reference pages in Markdown: experiment keys, options of the backends, and commands."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer.main
from pydantic import BaseModel

from backends import create
from experiments.config import Experiment
from sparkdl_bench.commands import app

_KEYS = """# Experiment keys

An experiment is a YAML file with the keys of this page. Every key has a default except `name` and
`positive_class`, which a run on your own images derives from the folder and its classes. Every key
can be overridden on the command line with `--set key=value`, where nested keys are written with
dots:

```
uv run run_experiment.py --experiment malaria --data cell_images \\
    --set optimizer.learning_rate=0.0005 --set model.dropout=0.3
```

Unknown keys are refused. The experiments `synthetic`, `malaria`, `c-nmc`, `c-nmc-challenge`,
`skin-3class` and `isic-binary` are included (`experiments/*.yaml`). The table is generated from the
schema by which every experiment is validated (`experiments/config.py`).

"""
_COMMANDS = """# Commands

This page is generated from the definitions of the commands; `--help` (`-h`) prints the same text in
a terminal. `run_experiment.py` is the same as `sparkdl-bench run`.

"""
#: Names of the types of options.
_KINDS = {str: "text", int: "integer", float: "number", Path: "path"}


@dataclass(frozen=True)
class Key:
    """One setting: its dotted name, type, default and description, as Markdown."""

    name: str
    type: str
    default: str
    description: str


def experiment_keys() -> str:
    """Return the page with every key of an experiment."""
    sections: dict[str, list[Key]] = {}
    for key in keys(Experiment):
        section = key.name.split(".")[0] if "." in key.name else ""
        sections.setdefault(section, []).append(key)
    parts = [_KEYS]
    for section, found in sections.items():
        parts.append(f"## {f'`{section}`' if section else 'The experiment'}\n\n{table(found)}\n")
        if section == "":
            parts.append(
                "The keys of `backend_options` are listed on the page of each backend, for example"
                " [elephas](../backends/elephas.md).\n"
            )
    return "\n".join(parts)


def backend_options(name: str) -> str:
    """Return the table with the options of the backend ``name``."""
    found = list(keys(create(name).options, f"backend_options.{name}."))
    if not found:
        return "This backend has no options."
    return table(found, title="option")


def table(found: list[Key], title: str = "key") -> str:
    """Return ``found`` as a Markdown table."""
    rows = [f"| `{key.name}` | {key.type} | {key.default} | {key.description} |" for key in found]
    lines = [f"| {title} | type | default | description |", "|---|---|---|---|", *rows]
    return _framed("\n".join(lines))


def _framed(markdown: str) -> str:
    """Return a table with a wide last column on narrow screens (``style.css``)."""
    return f'<div class="keys" markdown="1">\n\n{markdown}\n\n</div>\n'


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[Key]:
    """Yield the keys of ``model``, then those of its sections, with dotted names."""
    schema, comments = model.model_json_schema(), _comments(model)
    definitions, nested = schema.get("$defs", {}), []
    for name, field in model.model_fields.items():
        part = schema["properties"][name]
        inner = _section(field.annotation)
        if inner is not None:
            nested.append((name, inner))
            if inner is field.annotation:
                continue
        required = field.is_required()
        default = "required" if required else _default(field.get_default(call_default_factory=True))
        description = _markdown(comments.get(name, ""))
        yield Key(prefix + name, _type(part, definitions), default, description)
    for name, inner in nested:
        yield from keys(inner, f"{prefix}{name}.")


def _section(annotation: Any) -> type[BaseModel] | None:
    """Return the schema of a section, which may also be omitted, or None for a value."""
    for kind in (annotation, *get_args(annotation)):
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            return kind
    return None


@cache
def _comments(model: type[BaseModel]) -> dict[str, str]:
    """Return the comments that begin with ``#:`` above the fields of ``model`` and its bases."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if not issubclass(cls, BaseModel) or cls is BaseModel:
            continue
        source = textwrap.dedent(inspect.getsource(cls))
        lines, (body,) = source.splitlines(), ast.parse(source).body
        assert isinstance(body, ast.ClassDef)
        for node in body.body:
            if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
                continue
            above: list[str] = []
            number = node.lineno - 2
            while number >= 0 and lines[number].lstrip().startswith("#:"):
                above.insert(0, lines[number].lstrip()[2:].strip())
                number -= 1
            found[node.target.id] = " ".join(above)
    return found


def _markdown(text: str) -> str:
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    text = re.sub(r"\bNone\b", "`null`", text)
    return text.replace("``", "`").replace("|", "\\|")


def _default(value: Any) -> str:
    if value is None:
        return "`null`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | list):
        return f"`[{', '.join(map(str, value))}]`"
    if value == "":
        return "empty"
    return f"`{value}`"


def _type(part: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return the type of a JSON schema in words."""
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return "name or section" if name == "BackboneConfig" else _type(definitions[name], {})
    if "anyOf" in part:
        kinds = [_type(one, definitions) for one in part["anyOf"]]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in part:
        return " or ".join(f"`{value}`" for value in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    kind = part.get("type", "")
    if kind == "array":
        items = part.get("items")
        return f"list of {_plural(_type(items, definitions))}" if items else "list"
    names = {
        "string": "text", "integer": "integer", "number": "number", "boolean": "`true` or `false`",
        "object": "mapping", "null": "`null`",
    }  # fmt: skip
    return names.get(kind, "any value") + _limits(part)


def _plural(kind: str) -> str:
    for one, several in (("text", "texts"), ("integer", "integers"), ("number", "numbers")):
        if kind.startswith(one):
            return several + kind[len(one) :]
    return kind


def _limits(part: dict[str, Any]) -> str:
    low, high = part.get("minimum"), part.get("maximum")
    above, below = part.get("exclusiveMinimum"), part.get("exclusiveMaximum")
    if part.get("type") == "integer" and below is not None:
        high, below = (None if below >= 2**31 else below - 1), None
    found = [
        f"at least {low}" if low is not None else "",
        f"above {above}" if above is not None else "",
        f"at most {high}" if high is not None else "",
        f"below {below}" if below is not None else "",
    ]
    text = " and ".join(filter(None, found))
    return f", {text}" if text else ""


def commands() -> str:
    """Return the page with every command, its arguments and its options."""
    return _COMMANDS + "\n".join(_command(typer.main.get_command(app), ("sparkdl-bench",)))


def _command(command: Any, path: tuple[str, ...]) -> Iterator[str]:
    level = min(len(path), 3)
    if len(path) > 1:
        yield f"{'#' * level} {' '.join(path)}\n\n{_help(command.help)}\n"
    children = getattr(command, "commands", {})
    if not children:
        yield f"```text\n{' '.join([*path, *_usage(command)])}\n```\n"
    rows = [
        f"| {_names(parameter)} | {_value(parameter)} | {_help(parameter.help)} |"
        for parameter in command.params
        if not getattr(parameter, "hidden", False) and parameter.name != "help"
    ]
    if rows:
        yield _framed("\n".join(["| option | value | meaning |", "|---|---|---|", *rows]))
    for name, child in children.items():
        if not child.hidden:
            yield from _command(child, (*path, name))


def _is_argument(parameter: Any) -> bool:
    return str(parameter.param_type_name) == "argument"


def _usage(command: Any) -> Iterator[str]:
    if any(not _is_argument(parameter) for parameter in command.params):
        yield "[OPTIONS]"
    for parameter in command.params:
        if _is_argument(parameter):
            name = _metavar(parameter) + ("..." if parameter.nargs == -1 else "")
            yield name if parameter.required else f"[{name}]"


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper()).strip("[]").removesuffix("...")


def _names(parameter: Any) -> str:
    if _is_argument(parameter):
        return f"`{_metavar(parameter)}`"
    return ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])


def _value(parameter: Any) -> str:
    if getattr(parameter, "is_flag", False):
        return "flag"
    kind = parameter.type_descriptor.annotation
    kind = get_args(kind)[0] if get_origin(kind) is list else kind
    if get_origin(kind) is Literal:
        words = [" or ".join(f"`{one}`" for one in get_args(kind))]
    elif parameter.metavar and not _is_argument(parameter):
        words = [f"`{parameter.metavar}`"]
    else:
        words = [_KINDS[kind]]
    if getattr(parameter, "multiple", False):
        words.append("may be repeated")
    if parameter.required:
        words.append("required")
    default = parameter.default
    if not callable(default) and default not in (None, (), [], "", False):
        words.append(f"default {_default(default)}")
    return ", ".join(words)


def _help(text: str | None) -> str:
    """Return help text on one line per paragraph, with what Markdown would interpret escaped."""
    paragraphs = re.split(r"\n\s*\n", (text or "").replace("\b", "").strip())
    lines = [" ".join(paragraph.split()) for paragraph in paragraphs]
    joined = " ".join(lines)
    joined = joined.replace("``", "`")
    return re.sub(r"([<>*|_\[\]])", r"\\\1", joined)
