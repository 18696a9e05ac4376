"""Example in CONTRIBUTING.md: extracted, linted, type-checked and run through conformance tests."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFIG = str(ROOT / "pyproject.toml")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the backend of the example and its test."""
    folder = tmp_path_factory.mktemp("example")
    text = (ROOT / "CONTRIBUTING.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    (backend,) = [block for block in blocks if "class SmallPixels(" in block]
    (tests,) = [block for block in blocks if "class TestSmallPixels(" in block]
    (folder / "small_pixels.py").write_text(backend)
    named = tests.replace('"small_pixels"', '"small_pixels:SmallPixels"')
    assert named != tests
    (folder / "test_small_pixels.py").write_text(named)
    return folder


def run(*command: str, **variables: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        # The usual interpreter: a run of the example in a preloaded one ends before it is observed.
        env={**os.environ, "SPARKDL_PRELOADED_PYTHON": sys.executable, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_example_is_formatted_and_typed(example: Path) -> None:
    source = str(example / "small_pixels.py")
    run("ruff", "check", "--config", CONFIG, "--ignore", "INP", source)
    run("ruff", "format", "--check", "--config", CONFIG, source)
    run("mypy", "--config-file", CONFIG, source, MYPYPATH=str(ROOT))


@pytest.mark.slow
def test_example_passes_conformance(example: Path) -> None:
    options = ["-n", "0", "-q", "-p", "tests.conftest", "-c", CONFIG, "--rootdir", str(ROOT)]
    tests = str(example / "test_small_pixels.py")
    run("pytest", *options, tests, PYTHONPATH=str(example))
