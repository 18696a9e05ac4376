import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backends import registry
from backends.errors import BackendError
from backends.refusal import refusal
from data.prepared import PreparedData
from tests.backends.all_reduce_checks import task


def test_unknown_name_lists_the_known_and_the_nearest() -> None:
    with pytest.raises(BackendError, match=r"known: majority.*did you mean 'elephas'"):
        registry.create("elefas")


def test_missing_package_is_reported_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = registry.Entry("a_framework_that_is_missing", "Nothing", "uv sync --group nothing")
    monkeypatch.setitem(registry.BACKENDS, "nothing", entry)
    with pytest.raises(BackendError, match="uv sync --group nothing"):
        registry.create("nothing")


def test_backend_whose_package_is_missing_is_refused_with_the_command(
    prepared: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = replace(registry.BACKENDS["majority"], requires=("a_missing_package",))
    monkeypatch.setitem(registry.BACKENDS, "majority", replace(found, install="uv sync --group x"))
    reason = refusal(registry.create("majority"), task(prepared))
    assert reason == "not installed: a_missing_package is missing; 'uv sync --group x' adds it"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (":", "unknown backend ':'"),
        ("json:", "unknown backend 'json:'"),
        ("json:Nothing", "no backend 'json:Nothing': .*has no attribute"),
        ("json:JSONDecoder", "its class must extend"),
        ("tests.backends:../x", "no backend"),
    ],
)
def test_invalid_backend_is_refused(name: str, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        registry.create(name)


@pytest.mark.parametrize("name", registry.known())
def test_name_in_the_registry_is_the_backends_own(name: str) -> None:
    assert registry.create(name).name == name


@pytest.mark.slow
def test_listing_backends_imports_no_framework() -> None:
    code = (
        "import sys, backends.registry as r; [r.create(n) for n in r.known()];"
        "heavy = {'tensorflow', 'keras', 'pyspark', 'elephas', 'bigdl', 'tensorflowonspark',"
        " 'mlflow', 'sklearn', 'openvino'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
