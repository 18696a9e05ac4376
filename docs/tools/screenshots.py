"""Pictures of the documentation: a report, the page of the service, the dashboard, an exploration.

``python docs/tools/screenshots.py report comparison/NAME/report.html`` writes the first one. The
report of the picture in the repository was written by::

    uv run run_experiment.py --backend keras_local --backend elephas --backend tensorflowonspark \
        --backend pandas_udf --seed 0 --seed 1 --seed 2
    uv run sparkdl-bench compare

``python docs/tools/screenshots.py page http://127.0.0.1:8080 IMAGE`` writes the second one, with
the image classified by the service of ``uv run sparkdl-bench serve synthetic-keras_local``.

``python docs/tools/screenshots.py dashboard ADDRESS`` takes the address that ``sparkdl-bench
dashboard`` prints for the runs above, and ``python docs/tools/screenshots.py exploration PAGE``
the page of ``sparkdl-bench data describe FOLDER --html PAGE``.
"""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

PICTURES = Path(__file__).parents[1] / "images"
#: Size of the pictures in CSS pixels.
SIZES = {
    "report": (1300, 760),
    "page": (1100, 820),
    "dashboard": (1500, 900),
    "exploration": (1300, 760),
}
#: Milliseconds that MLflow takes to draw its charts.
DRAWING = 8_000
CHROMIUM = "/usr/bin/chromium"


def main(name: str, address: str, images: Sequence[str]) -> None:
    """Write the picture ``name`` of the page at ``address``."""
    width, height = SIZES[name]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
        page.goto(address if "://" in address else Path(address).resolve().as_uri())
        if images:
            _classify(page, images)
        if name == "dashboard":
            _draw(page)
        content = page.screenshot()
        browser.close()
    # 128 colors suffice for text and charts, and make the file a quarter of its size.
    picture = Image.open(io.BytesIO(content)).convert("RGB").quantize(128)
    PICTURES.mkdir(exist_ok=True)
    target = PICTURES / f"{name}.png"
    picture.save(target, optimize=True)
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB")


def _draw(page: Page) -> None:
    """Close the panel of MLflow's assistant, and wait for the charts."""
    page.wait_for_timeout(DRAWING)
    for label in ("Close", "Close assistant"):
        for button in page.get_by_role("button", name=label).all():
            button.click()
    page.wait_for_timeout(DRAWING)


def _classify(page: Page, images: Sequence[str]) -> None:
    """Give images to the page of the service, and wait for its answer."""
    page.set_input_files("#files", list(images))
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1000)  # bars move to their values


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
