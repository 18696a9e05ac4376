"""The page is usable by keyboard, with a screen reader, on small and large screens and on paper."""

import re
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.serving.browser import png, visit, write
from tests.serving.page_service import PageService

pytestmark = pytest.mark.slow

Scheme = Literal["light", "dark"]


def images(folder: Path, number: int) -> list[str]:
    """Write images, of which the last one is dark (a warning) and a letter (an error)."""
    found = {f"UID_{n}_a_rather_long_name_of_a_cell_1.png": png(n / 10) for n in range(number)}
    return write(folder, found | {"dark.png": png(0.02, green=0.02), "letter.png": b"x"})


def show_many(page: Page, folder: Path) -> None:
    page.set_input_files("#files", images(folder, 6))
    expect(page.locator("#image-table .failure")).to_have_count(1)
    page.get_by_label("Patient in the file name").fill("UID_{patient}_*")
    page.get_by_role("columnheader", name="P(all)").get_by_role("button").click()
    expect(page.locator(".heat")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1600])
def test_axe_finds_no_violation(
    browser: Browser, service: PageService, tmp_path: Path, scheme: Scheme, width: int
):
    size = {"width": width, "height": 900}
    with visit(browser, service.url, color_scheme=scheme, viewport=size) as found:
        page = found.page
        expect(page.locator("#examples")).to_be_visible()
        empty = Axe().run(page)
        assert empty.violations_count == 0, empty.generate_report()
        show_many(page, tmp_path)
        filled = Axe().run(page)
        assert filled.violations_count == 0, filled.generate_report()


@pytest.mark.parametrize("width", [320, 360, 768, 1280, 1600])
def test_no_width_needs_horizontal_scrolling(
    browser: Browser, service: PageService, tmp_path: Path, width: int
):
    with visit(browser, service.url, viewport={"width": width, "height": 780}) as found:
        page = found.page
        expect(page.locator("#examples")).to_be_visible()
        measured = "document.documentElement.scrollWidth"
        assert page.evaluate(measured) <= width
        show_many(page, tmp_path)
        assert page.evaluate(measured) <= width


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_one_image_is_classified_and_explained_by_keyboard_alone(
    browser: Browser, service: PageService, tmp_path: Path, key: str
):
    with visit(browser, service.url) as found:
        page = found.page
        expect(page.locator("#examples")).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the results")).to_be_focused()
        page.keyboard.press("Tab")
        button = page.get_by_role("button", name="Choose images")
        expect(button).to_be_focused()
        assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"
        with page.expect_file_chooser() as waiting:
            page.keyboard.press(key)
        waiting.value.set_files(write(tmp_path, {"cell.png": png(0.6)}))
        expect(page.locator(".decision")).to_have_text("all")
        expect(button).to_be_focused()
        focused = []
        for _ in range(6):
            page.keyboard.press("Tab")
            focused.append(
                page.evaluate(
                    "document.activeElement.textContent.trim() || document.activeElement.id"
                )
            )
        assert focused[:3] == ["drawn blast", "drawn lymphocyte 1", "drawn lymphocyte 2"]
        assert focused[3:] == ["heat-shown", "allhem", "opacity"]
        page.keyboard.press("ArrowLeft")
        expect(page.locator(".heat")).to_have_css("opacity", "0.65")


def test_many_images_are_sorted_and_opened_by_keyboard_alone(
    browser: Browser, service: PageService, tmp_path: Path
):
    with visit(browser, service.url) as found:
        page = found.page
        page.set_input_files("#files", images(tmp_path, 3))
        expect(page.locator("#image-table .failure")).to_have_count(1)
        header = page.get_by_role("columnheader", name="P(all)")
        header.get_by_role("button").focus()
        page.keyboard.press("Enter")
        expect(header).to_have_attribute("aria-sort", "descending")
        expect(header.get_by_role("button")).to_be_focused()
        page.keyboard.press("Tab")  # to Warnings
        page.keyboard.press("Tab")  # to the first row
        page.keyboard.press("Space")
        expect(page.locator("#detail-heading")).to_have_text(re.compile("^UID_2_"))


def test_the_focus_stays_in_a_row_while_images_are_classified(
    browser: Browser, service: PageService, tmp_path: Path
):
    paths = write(tmp_path, {f"{n:02}.png": png(n / 50) for n in range(40)})
    service.answered = 1
    with visit(browser, service.url) as found:
        page = found.page
        page.set_input_files("#files", paths)
        button = page.locator("#image-table tbody").get_by_role("button").nth(20)
        expect(page.locator("#image-table tbody .tag")).to_have_count(16)
        button.focus()
        service.answered = 1000
        expect(page.locator("#image-table tbody .tag")).to_have_count(40)
        expect(button).to_be_focused()


def test_results_are_announced_and_images_have_names(
    browser: Browser, service: PageService, tmp_path: Path
):
    with visit(browser, service.url) as found:
        page = found.page
        status = page.get_by_role("status").first
        expect(status).to_have_attribute("aria-live", "polite")
        page.set_input_files("#files", write(tmp_path, {"cell.png": png(0.6)}))
        expect(status).to_have_text("cell.png: “all”, 60.0\u00a0%.")
        show_many(page, tmp_path)
        assert page.locator("img:not([alt])").count() == 0
        expect(page.get_by_role("table")).to_have_count(2)
        for cell in page.locator("#image-table thead th").all():
            assert cell.get_attribute("scope") == "col"


def test_colors_follow_the_scheme(browser: Browser, service: PageService):
    brightness = []
    for scheme in ("light", "dark"):
        with visit(browser, service.url, color_scheme=scheme) as found:
            color = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
            brightness.append(sum(map(int, re.findall(r"\d+", color))))
    assert brightness[0] > 3 * 200
    assert brightness[1] < 3 * 50


def test_reduced_motion_has_no_transitions(browser: Browser, service: PageService, tmp_path: Path):
    for motion, expected in (("reduce", "none"), ("no-preference", "width")):
        with visit(browser, service.url, reduced_motion=motion) as found:
            page = found.page
            page.set_input_files("#files", write(tmp_path, {"cell.png": png(0.6)}))
            bar = page.locator(".bars .fill").first
            expect(bar).to_have_css("transition-property", expected)


def test_paper_shows_results_without_controls(
    browser: Browser, service: PageService, tmp_path: Path
):
    with visit(browser, service.url, color_scheme="dark") as found:
        page = found.page
        show_many(page, tmp_path)
        page.emulate_media(media="print")
        expect(page.locator(".decision")).to_be_visible()
        expect(page.get_by_text("Not a medical device.")).to_be_visible()
        expect(page.locator("#image-table")).to_be_visible()
        expect(page.locator("#choose")).to_be_hidden()
        expect(page.locator("#opacity")).to_be_hidden()
        expect(page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
        assert page.pdf().startswith(b"%PDF")


def test_a_phone_has_a_button_for_its_camera(browser: Browser, service: PageService):
    with visit(
        browser, service.url, has_touch=True, is_mobile=True, viewport={"width": 360, "height": 780}
    ) as found:
        page = found.page
        with page.expect_file_chooser() as waiting:
            page.get_by_role("button", name="Take a photo").tap()
        assert not waiting.value.is_multiple()
        expect(page.locator("#camera")).to_have_attribute("capture", "environment")
