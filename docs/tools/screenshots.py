"""Picture of a report for the README: ``python docs/tools/screenshots.py comparison/report.html``.

The report of the picture in the repository was written by::

    uv run run_experiment.py --backend keras_local --backend elephas --backend tensorflowonspark \
        --backend pandas_udf --seed 0 --seed 1 --seed 2
    uv run sparkdl-bench compare
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).parents[1] / "images" / "report.png"
#: Size of the picture in CSS pixels.
WIDTH, HEIGHT = 1300, 760
CHROMIUM = "/usr/bin/chromium"


def main(report: Path) -> None:
    """Write the top of ``report`` to the picture of the README."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(report.resolve().as_uri())
        content = page.screenshot()
        browser.close()
    # 128 colors suffice for text and charts, and make the file a quarter of its size.
    picture = Image.open(io.BytesIO(content)).convert("RGB").quantize(128)
    PICTURE.parent.mkdir(exist_ok=True)
    picture.save(PICTURE, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
