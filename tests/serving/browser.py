"""A headless browser, and images to give to the page."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

#: Program of Debian's package ``chromium``; `playwright install` would download another one.
CHROMIUM = "/usr/bin/chromium"
#: Message that the browser logs for every response with an error status.
FAILED_RESPONSE = "Failed to load resource"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a browser, which ends with the context."""
    with sync_playwright() as driver:
        # The sandbox of the browser refuses to run as root, as which containers run tests.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """An opened page, and what the browser reported meanwhile."""

    page: Page
    #: Errors of the console and exceptions.
    errors: list[str] = field(default_factory=list)
    #: Addresses of all requests.
    requests: list[str] = field(default_factory=list)

    def foreign(self, url: str) -> list[str]:
        """Return the requests to other hosts than that of ``url``."""
        return [
            one
            for one in self.requests
            if urlsplit(one).scheme not in ("blob", "data")
            and urlsplit(one).netloc != urlsplit(url).netloc
        ]


@contextmanager
def visit(browser: Browser, url: str, **options: Any) -> Iterator[Visit]:
    """Yield the page at ``url``, opened with the options of ``Browser.new_context``."""
    options = {"viewport": {"width": 1280, "height": 900}} | options
    context = browser.new_context(**options)
    context.set_default_timeout(15_000)
    page = context.new_page()
    opened = Visit(page)
    page.on(
        "console",
        lambda message: opened.errors.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: opened.errors.append(str(error)))
    # Playwright intercepts file choosers once there is a listener, which takes a moment: a key that
    # is pressed right after the first `expect_file_chooser` would open the browser's own.
    page.on("filechooser", lambda _: None)
    page.on("request", lambda request: opened.requests.append(request.url))
    try:
        page.goto(url)
        yield opened
    finally:
        context.close()


def png(red: float, side: int = 24, green: float = 0.3) -> bytes:
    """Return an image of one color, whose probability of ``all`` is ``red`` in `PageService`."""
    color = np.array([red, green, 0.3]) * 255
    file = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), color.round(), np.uint8)).save(file, "PNG")
    return file.getvalue()


def write(folder: Path, images: dict[str, bytes]) -> list[str]:
    """Write files to ``folder`` and return their paths."""
    for name, content in images.items():
        (folder / name).write_bytes(content)
    return [str(folder / name) for name in images]
