"""Commands, settings, files and messages that the documentation names exist in the code."""

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import reference
import typer.main
import yaml
from pydantic import BaseModel

from backends.registry import BACKENDS
from benchmarks import PARTS
from chaos.faults import FAULTS
from experiments.config import Experiment
from sparkdl_bench.commands import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = ("data", "models", "backends", "experiments", "serving", "sparkdl_bench", "deploy", "chaos")
#: Files that a page tells its reader to create.
CREATED = {
    "backends/small_pixels.py", "tests/backends/test_small_pixels.py", "tuning/best.yaml",
    "comparison/report.html", "docs/backends/small_pixels.md",
}  # fmt: skip
#: Options of pip and Docker.
OPTIONS_OF_OTHERS = {"--no-deps", "--volumes"}
#: The backend of the example in CONTRIBUTING.md.
EXAMPLE = "small_pixels"


def blocks(page: Path) -> Iterator[str]:
    """Yield the commands of the fenced blocks of ``page``, continued lines joined."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.M | re.S):
        if language not in ("", "bash"):
            continue
        yield from re.sub(r"\\\n\s*", "", block).splitlines()


def spans(page: Path) -> Iterator[str]:
    """Yield the code within sentences of ``page``."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text))


def arguments(line: str) -> list[str] | None:
    """Return the arguments of ``sparkdl-bench`` in a command line, None for another command."""
    line = re.sub(r"<[\w.-]+>", "PLACE", line.removeprefix("$ "))
    if not re.search(r"(^|\s)(sparkdl-bench|run_experiment\.py|runner)(\s|$)", line):
        return None
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # a sentence with an apostrophe
        return None
    words = [word for word in words if word not in ("...", "…")]
    if words[:3] == ["docker", "compose", "run"] and "runner" in words:
        return ["run", *words[words.index("runner") + 1 :]]
    for program, before in (("sparkdl-bench", []), ("run_experiment.py", ["run"])):
        prefixes = ("uv", "sudo", "kubectl", program)
        if program in words and words[0] in prefixes:
            start = words.index(program)
            if words[0] == "kubectl":  # an image may have the same name
                start = words.index(program, words.index("--"))
            return [*before, *words[start + 1 :]]
    return None


COMMANDS = [
    pytest.param(found, whole, id=f"{page.name}: {' '.join(found)[:60]}")
    for page in PAGES
    for lines, whole in ((blocks(page), True), (spans(page), False))
    for line in lines
    if (found := arguments(line))
]


def parsed(words: list[str], *, whole: bool = True) -> dict[str, Any]:
    """Return the values of a command's options by name.

    Commands that are named in a sentence may lack required arguments (``whole`` is false).

    Raises
    ------
    AssertionError
        If a command or an option does not exist, or a value is not valid.
    """
    command, rest = typer.main.get_command(app), list(words)
    path = ["sparkdl-bench"]
    while hasattr(command, "commands"):
        if not rest or rest[0] in ("-h", "--help", "--version"):
            return {}
        name = rest.pop(0)
        assert name in command.commands, f"{' '.join(path)} has no command '{name}'"
        command = command.commands[name]
        path.append(name)
    if rest[:1] in (["-h"], ["--help"]):
        return {}
    forwarded = None
    if "--" in rest:  # options of the run that another command starts
        forwarded = rest[rest.index("--") + 1 :]
        rest = rest[: rest.index("--")]
    context = command.context_class(command, info_name=path[-1], resilient_parsing=False)
    try:
        values, left_over, _ = command.make_parser(context).parse_args(args=rest)
    except Exception as error:
        raise AssertionError(f"{' '.join(path)}: {error}") from error
    assert not left_over, f"{' '.join(path)} does not take {left_over}"
    for parameter in command.params:
        value = values.get(parameter.name)
        lacks = whole and parameter.required and not value
        assert not lacks, f"{' '.join(path)} needs {parameter.name}"
        if isinstance(value, str | list) and not getattr(parameter, "is_flag", False):
            try:
                option: Any = parameter
                option.get_runtime_param().coerce(value, param=option, ctx=context)
            except Exception as error:
                raise AssertionError(f"{' '.join(path)} {parameter.name}: {error}") from error
    if forwarded is not None:
        values |= parsed(["run", *forwarded])
    return dict(values)


@cache
def key_exists(key: str) -> bool:
    """True if ``key`` is a dotted key of an experiment."""
    if key.startswith("backend_options."):
        from backends import create

        _, name, option = key.split(".", 2)
        return name == EXAMPLE or option.split(".")[0] in create(name).options.model_fields
    model: type[BaseModel] | None = Experiment
    for part in key.split("."):
        if model is None or part not in model.model_fields:
            return model is None and key.startswith("spark.conf.")
        kind = model.model_fields[part].annotation
        sections = [
            one
            for one in (kind, *get_args(kind))
            if isinstance(one, type) and issubclass(one, BaseModel)
        ]
        model = sections[0] if sections else None
    return True


@pytest.mark.parametrize(("words", "whole"), COMMANDS)
def test_commands_parse(words: list[str], whole: bool) -> None:
    values = parsed(words, whole=whole)
    backends = values.get("backend") or []
    for name in [backends] if isinstance(backends, str) else backends:
        module = name.rpartition(":")[0] or name
        assert module in (*BACKENDS, "all", "package.module", f"backends.{EXAMPLE}"), name
    for setting in values.get("set_") or []:
        assert key_exists(setting.partition("=")[0]), f"there is no key {setting}"
    assert set(values.get("part") or ()) <= {*PARTS}
    assert set(values.get("fault") or ()) <= {*FAULTS}
    experiment = values.get("experiment")
    if isinstance(experiment, str) and "/" not in experiment and experiment != "NAME":
        assert (ROOT / "experiments" / f"{experiment}.yaml").is_file(), experiment


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 80
    found: list[Any] = [param.values[0] for param in COMMANDS]
    assert ["run", "--backend", "elephas"] in found
    assert any(parsed(words).get("set_") for words in found if words[0] == "run")


@pytest.mark.parametrize(
    "words",
    [
        ["runn"],
        ["run", "--bakend", "elephas"],
        ["run", "--workers", "two"],
        ["data", "describe"],
        ["data", "describe", "x", "--htm", "y"],
    ],
)
def test_wrong_commands_are_reported(words: list[str]) -> None:
    with pytest.raises(AssertionError):
        parsed(words)


def test_wrong_keys_are_reported() -> None:
    assert key_exists("optimizer.learning_rate")
    assert key_exists("backend_options.elephas.mode")
    assert not key_exists("optimizer.rate")
    assert not key_exists("backend_options.elephas.modes")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_and_settings_in_sentences_exist(page: Path) -> None:
    for span in spans(page):
        if setting := re.match(r"--set ([a-z_.]+)=", span):
            assert setting[1] == "key" or key_exists(setting[1]), span
        elif span.startswith("-") and (option := re.match(r"--[a-z0-9-]+", span)):
            assert option[0] in options_of_all() | OPTIONS_OF_OTHERS, span


def options_of_all() -> set[str]:
    """Return the options of all commands."""
    found, commands = {"--help"}, [typer.main.get_command(app)]
    while commands:
        command = commands.pop()
        commands += getattr(command, "commands", {}).values()
        found |= {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_exist(page: Path) -> None:
    folders = "|".join([*CODE, "tests", "benchmarks", "docs", r"\.ci"])
    named = {
        span
        for span in spans(page)
        if re.fullmatch(rf"({folders})/[\w./-]+\.(py|yaml|md|j2|sh|json|tsv)", span)
    }
    missing = [name for name in named - CREATED if not (ROOT / name).is_file()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_keys_of_experiments_exist(page: Path) -> None:
    sections = "data|model|optimizer|spark|price|energy|backend_options"
    options = {
        span.partition("=")[0]
        for span in spans(page)
        if re.fullmatch(rf"({sections})\.[a-z_.]+(=\S+)?", span)
    }
    #: Names of the record and of Spark's own settings that look like keys.
    others = {"data.fingerprint"} | {name for name in options if name.startswith("spark.")}
    checked = {name for name in options - others if name.rpartition(".")[2] not in ("py", "md")}
    assert not [name for name in checked if not _is_module(name) and not key_exists(name)]


def _is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or path.parent.with_suffix(".py").is_file()


def test_every_backend_has_a_page() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "backends").glob("*.md")}
    assert pages == {"index", *BACKENDS}
    overview = (ROOT / "docs" / "backends" / "index.md").read_text()
    for name in BACKENDS:
        assert f"[`{name}`]({name}.md)" in overview, name


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    navigation = yaml.safe_load(text)["nav"]
    listed = set(re.findall(r"[\w/-]+\.md", str(navigation)))
    generated = {
        "reference/experiment-keys.md", "reference/commands.md", "contributing.md", "changelog.md",
    }  # fmt: skip
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert listed == pages | generated


def test_links_of_the_readme_lead_to_files() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            assert target.startswith("http") or (ROOT / target).is_file(), (page.name, target)


def test_every_key_is_described() -> None:
    keys = list(reference.keys(Experiment))
    assert {"epochs", "data.split.by", "model.backbone.layer"} <= {key.name for key in keys}
    assert not [key.name for key in keys if not key.description]
    assert "`optimizer.learning_rate`" in reference.experiment_keys()
    assert "## sparkdl-bench run" in reference.commands()
    assert "`backend_options.elephas.mode`" in reference.backend_options("elephas")


@cache
def messages() -> list[str]:
    """Return the text of every string in the code, with … for the parts that vary."""
    found = []
    files = [path for folder in CODE for path in (ROOT / folder).rglob("*.py")]
    for path in (*files, ROOT / "run_experiment.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [
                    str(part.value) if isinstance(part, ast.Constant) else "…"
                    for part in node.values
                ]
                found.append("".join(parts))
    return found


def test_messages_of_the_troubleshooting_page_exist() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    titles = re.findall(r"^`([^\n]+)`\n:   ", text, re.M)
    assert len(titles) > 40
    known = "\n".join(messages())
    for title in titles:
        pieces = [piece.strip(" ():';,") for piece in title.split("…")]
        for piece in filter(None, pieces):
            assert piece in known, f"no message contains: {piece}"
