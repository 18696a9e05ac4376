"""Hooks of mkdocs: pages and tables that are generated from the code when the site is built."""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import reference  # noqa: E402

#: A line of a backend's page that is replaced by the table of the backend's options.
_OPTIONS = re.compile(r"^<!-- options of (\w+) -->$", re.MULTILINE)
#: A script, style sheet, font or picture of another host.
_FOREIGN = re.compile(r'<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*"')
#: Script of notebooks that loads a library for diagrams from another host.
_DIAGRAMS = re.compile(
    r'<script type="module">(?:(?!</script>).)*mermaid(?:(?!</script>).)*</script>', re.DOTALL
)
#: Pages of the site whose text is a file of the repository.
_COPIED = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    pages = {
        "reference/experiment-keys.md": reference.experiment_keys(),
        "reference/commands.md": reference.commands(),
        **{page: (ROOT / name).read_text() for page, name in _COPIED.items()},
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each marker with the table of the options of a backend."""
    return _OPTIONS.sub(lambda match: reference.backend_options(match[1]), markdown)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Return ``output`` without the script for diagrams, of which no notebook has one.

    Raises
    ------
    PluginError
        If the page loads anything from another host.
    """
    output = _DIAGRAMS.sub("", output)
    if found := _FOREIGN.search(output):
        raise PluginError(f"{page.file.src_uri} loads a file of another host: {found[0]}")
    return output
