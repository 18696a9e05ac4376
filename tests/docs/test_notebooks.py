"""The notebooks of the documentation run in an empty folder, and can be interrupted."""

import json
import re
import time
from pathlib import Path
from typing import Any

import nbformat
import notebooks
import pytest
from jupyter_client.manager import start_new_kernel

NOTEBOOKS = sorted(notebooks.FOLDER.glob("*.ipynb"))
#: Cell that trains for minutes unless it is interrupted.
TRAINING = """
import experiments
experiments.run(data={folder!r}, backends=["keras_local", "elephas"], epochs=400, warm_up=False)
"""
#: Cell that prints the descendants of the kernel and the states of the recorded runs.
STATES = """
import mlflow, psutil
left = psutil.Process().children(recursive=True)
runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
print(len(left) or "no", "process,", [run.info.status for run in runs])
"""


def outputs(notebook: nbformat.NotebookNode) -> list[Any]:
    return [one for cell in notebook.cells if cell.cell_type == "code" for one in cell.outputs]


def kinds(notebook: nbformat.NotebookNode) -> list[set[str]]:
    """Return the types of the outputs of each code cell."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [{kind for one in cell.outputs for kind in one.get("data", ())} for cell in cells]


def texts(notebook: nbformat.NotebookNode) -> str:
    found = [
        one.get("text", "") + one.get("data", {}).get("text/plain", "") for one in outputs(notebook)
    ]
    return "\n".join(found)


def test_every_topic_has_a_notebook() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        "1-comparison", "2-leukemia-cells", "3-skin-lesions", "4-pipelines-and-sql",
    ]  # fmt: skip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_small_and_of_no_machine(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert outputs(notebook), "execute docs/tools/notebooks.py"
    assert path.stat().st_size < 250_000
    assert not [one for one in outputs(notebook) if one.get("name") == "stderr"]
    assert not re.search(r"""(^|[\s"'=(])/\w+/""", texts(notebook), re.MULTILINE), "absolute path"


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.spark
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_in_an_empty_folder(path: Path, tmp_path: Path) -> None:
    stored = nbformat.read(path, as_version=4)
    found = notebooks.without_logs(notebooks.execute(path, tmp_path))
    assert kinds(found) == kinds(stored)
    assert "runs finished" in texts(found) or "run finished" in texts(found)
    assert "did not" not in texts(found)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.spark
@pytest.mark.process_tree
def test_interrupted_cell_leaves_no_process_and_a_record(cells: Path, tmp_path: Path) -> None:
    manager, client = start_new_kernel(cwd=str(tmp_path))
    try:
        asked = client.execute(TRAINING.format(folder=str(cells)))
        until_displayed(client, "epoch 1/400")
        manager.interrupt_kernel()
        assert reply_to(client, asked)["ename"] == "KeyboardInterrupt"
        client.execute(STATES)
        assert "no process, ['KILLED', 'KILLED']" in until_displayed(client, "process")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def reply_to(client: Any, request: str) -> dict[str, Any]:
    """Return the reply to a request; those to the questions asked at the start precede it."""
    while True:
        reply: dict[str, Any] = client.get_shell_msg(timeout=60)
        if reply["parent_header"]["msg_id"] == request:
            return reply["content"]


def until_displayed(client: Any, expected: str, seconds: float = 120) -> str:
    """Return the first output of a cell that contains ``expected``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        content = client.get_iopub_msg(timeout=seconds)["content"]
        text = str(content.get("text", "")) + json.dumps(content.get("data", {}))
        if expected in text and "execution_count" not in content:
            return text
    raise AssertionError(f"no output contained {expected!r} within {seconds:.0f} s")
