"""Execute the notebooks of the documentation and store their outputs.

Usage: uv run docs/tools/notebooks.py [NOTEBOOK ...]
"""

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[1] / "notebooks"
#: Seconds that a cell may take.
LIMIT = 600


def execute(path: Path, folder: Path) -> NotebookNode:
    """Return the notebook ``path`` after its cells were executed in the working folder ``folder``.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raises an exception.
    """
    notebook = nbformat.reads(path.read_text(), as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(
        notebook,
        timeout=LIMIT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    return notebook


def without_logs(notebook: NotebookNode) -> NotebookNode:
    """Remove what differs between two executions or machines: logs and times of execution."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
    notebook.metadata.language_info.pop("version", None)
    return notebook


def main(paths: list[Path]) -> None:
    """Execute the notebooks, by default all, and replace them."""
    for path in paths or sorted(FOLDER.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            executed = without_logs(execute(path, Path(folder)))
        path.write_text(nbformat.writes(executed))  # type: ignore[no-untyped-call]
        print(f"{path.name}: {path.stat().st_size / 1e3:,.0f} kB")


if __name__ == "__main__":
    main([Path(name).absolute() for name in sys.argv[1:]])
