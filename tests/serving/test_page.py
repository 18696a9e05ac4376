"""The page takes images in every way that a browser has, and shows what the service answers."""

import base64
import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from models.card import Score, Threshold
from tests.serving.browser import FAILED_RESPONSE, Visit, png, visit, write
from tests.serving.page_service import CARD, PageService

pytestmark = pytest.mark.slow

#: File name -> probability of ``all``; the threshold is 0.37.
CELLS = {
    "UID_2_1_hem.png": 0.2,
    "UID_10_1_all.png": 0.8,
    "UID_2_2_hem.png": 0.45,
    "UID_10_2_all.png": 0.6,
}


@pytest.fixture
def opened(browser: Browser, service: PageService) -> Iterator[Visit]:
    with visit(browser, service.url) as found:
        expect(found.page.locator("#meaning")).to_be_visible()
        yield found
        # A response with an error status is provoked by some tests; scripts never fail.
        assert [text for text in found.errors if FAILED_RESPONSE not in text] == []
        assert found.foreign(service.url) == []


@pytest.fixture
def page(opened: Visit) -> Page:
    return opened.page


@pytest.fixture
def cells(tmp_path: Path) -> list[str]:
    return write(tmp_path, {name: png(red) for name, red in CELLS.items()})


def rows(page: Page) -> list[str]:
    """Return the names in the table, in the order of the rows."""
    return page.locator("#image-table tbody .name").all_inner_texts()


def downloaded(page: Page, button: str) -> tuple[str, list[dict[str, str]]]:
    """Return the name and the rows of the CSV file that a button downloads."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name=button, exact=True).click()
    text = Path(waiting.value.path()).read_text(encoding="utf-8-sig")
    return waiting.value.suggested_filename, list(csv.DictReader(io.StringIO(text)))


DROP = """([names, contents]) => {
  const transfer = new DataTransfer();
  names.forEach((name, index) => {
    const bytes = Uint8Array.from(atob(contents[index]), (c) => c.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type: "image/png" }));
  });
  const zone = document.getElementById("drop-zone");
  for (const type of ["dragenter", "dragover", "drop"])
    zone.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true,
      cancelable: true }));
}"""
PASTE = """(content) => {
  const transfer = new DataTransfer();
  const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
  transfer.items.add(new File([bytes], "image.png", { type: "image/png" }));
  document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true,
    cancelable: true }));
}"""


def test_a_chosen_image_gets_decision_bars_and_heat_map(opened: Visit, tmp_path: Path):
    page = opened.page
    with page.expect_file_chooser() as waiting:
        page.get_by_role("button", name="Choose images").click()
    assert waiting.value.is_multiple()
    waiting.value.set_files(write(tmp_path, {"cell.png": png(0.6)}))
    expect(page.locator(".decision")).to_have_text("all")
    assert page.locator(".bars .value").all_inner_texts() == ["60.0\u00a0%", "40.0\u00a0%"]
    widths = page.locator(".bars .fill").evaluate_all("fills => fills.map(f => f.style.width)")
    assert [round(float(width.rstrip("%"))) for width in widths] == [60, 40]
    expect(page.locator(".frame .original")).to_have_attribute("alt", "cell.png")
    expect(page.get_by_role("img", name="Heat map")).to_be_visible()
    expect(page.locator("#many")).to_be_hidden()
    assert opened.errors == []


def test_the_meaning_of_the_threshold_is_said_in_words(page: Page):
    text = " ".join(page.locator("#meaning").inner_text().split())
    assert "decided as “all” if its probability is at least 37.0 %" in text
    assert "chosen on the validation images for a sensitivity of 0.95" in text
    assert "finds 95 of 100 images of “all” 95 % interval 91 to 98" in text
    assert "false alarm for 12 of 100 images of “hem” 95 % interval 6 to 19" in text
    assert "2,324 images of 15 patients that were not used in training" in text
    assert page.locator(".found .filled").count() == 95
    assert page.locator(".alarms .filled").count() == 12
    expect(page.get_by_text("Not a medical device.")).to_be_in_viewport()
    page.mouse.wheel(0, 5000)
    expect(page.get_by_text("Not a medical device.")).to_be_in_viewport()


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (Threshold(), "How often the decision is right is not stated"),
        (
            Threshold(sensitivity=Score(value=0.999), specificity=Score(value=1.0)),
            "finds more than 99 of 100 images of “all” false alarm for 0 of 100 images of “hem”",
        ),
        (Threshold(value=0.2, rule="youden"), "sensitivity and specificity is largest"),
    ],
)
def test_the_meaning_of_other_cards(
    browser: Browser, service: PageService, threshold: Threshold, expected: str
):
    service.card = CARD.model_copy(update={"threshold": threshold})
    with visit(browser, service.url) as found:
        expect(found.page.locator("#meaning")).to_be_visible()
        assert expected in " ".join(found.page.locator("#meaning").inner_text().split())


def test_the_decision_may_differ_from_the_most_probable_class(page: Page, tmp_path: Path):
    page.set_input_files("#files", write(tmp_path, {"cell.png": png(0.42)}))
    expect(page.locator(".decision")).to_have_text("all")
    expect(page.locator(".reason")).to_have_text(
        "The most probable class is “hem”, but the probability of “all” is at least the "
        "threshold of 37.0\u00a0%."
    )


def test_images_are_dropped_and_pasted(page: Page):
    contents = [base64.b64encode(png(red)).decode() for red in (0.9, 0.1)]
    page.evaluate(DROP, [["first.png", "second.png"], contents])
    expect(page.locator("#image-table tbody tr")).to_have_count(2)
    page.evaluate(PASTE, contents[0])
    page.evaluate(PASTE, contents[1])
    expect(page.locator("#image-table tbody tr")).to_have_count(4)
    assert rows(page) == ["first.png", "second.png", "pasted-1.png", "pasted-2.png"]
    expect(page.locator("#status")).to_have_text("4 images: 2 “all”, 2 “hem”.")
    page.evaluate(DROP, [[], []])
    expect(page.get_by_role("alert")).to_contain_text("The drop contains no files")


def test_a_click_into_the_drop_zone_opens_the_file_chooser(page: Page):
    with page.expect_file_chooser():
        page.get_by_text("Drop images or folders here").click()


def test_the_table_sorts_by_every_column(page: Page, cells: list[str]):
    page.set_input_files("#files", cells)
    expect(page.locator("#image-table tbody .tag")).to_have_count(4)
    names = list(CELLS)
    assert rows(page) == names
    header = page.get_by_role("columnheader", name="P(all)")
    header.get_by_role("button").click()
    assert rows(page) == [names[1], names[3], names[2], names[0]]
    expect(header).to_have_attribute("aria-sort", "descending")
    header.get_by_role("button").click()
    assert rows(page) == [names[0], names[2], names[3], names[1]]
    expect(header).to_have_attribute("aria-sort", "ascending")
    page.get_by_role("columnheader", name="Image").get_by_role("button").click()
    # Numbers within names are compared as numbers: 2 before 10.
    assert rows(page) == [names[0], names[2], names[1], names[3]]
    assert header.get_attribute("aria-sort") is None


def test_a_row_opens_its_image(page: Page, cells: list[str]):
    page.set_input_files("#files", cells)
    expect(page.locator("#image-table tbody .tag")).to_have_count(4)
    row = page.locator("#image-table tbody").get_by_role("button").nth(1)
    row.click()
    expect(page.locator("#detail-heading")).to_have_text("UID_10_1_all.png")
    expect(row).to_have_attribute("aria-pressed", "true")
    expect(page.locator('[aria-pressed="true"]')).to_have_count(1)


def test_csv_has_every_image_in_the_order_of_the_table(page: Page, tmp_path: Path):
    dangerous = '=1+1, "two".png'
    paths = write(tmp_path, {"ä.png": png(0.2), dangerous: png(0.02, green=0.02), "no.png": b"x"})
    page.set_input_files("#files", paths)
    expect(page.locator("#image-table tbody .failure")).to_have_count(1)
    page.get_by_role("columnheader", name="P(all)").get_by_role("button").click()
    name, found = downloaded(page, "Download CSV")
    assert name == "predictions-c-nmc-elephas.csv"
    # A spreadsheet would execute a name that begins with "=".
    assert [row["name"] for row in found] == ["ä.png", f"'{dangerous}", "no.png"]
    first, second, third = found
    assert float(first["probability_all"]) == pytest.approx(0.2)
    assert float(first["probability_hem"]) == pytest.approx(0.8)
    assert (first["class"], first["decision"], first["warnings"]) == ("hem", "hem", "")
    assert (first["model"], first["version"], first["threshold"]) == ("c-nmc-elephas", "3", "0.37")
    assert "brightness" in second["warnings"]
    assert (third["decision"], third["error"]) == ("", "Not an image.")


def test_means_by_patient_follow_a_pattern(page: Page, cells: list[str]):
    page.set_input_files("#files", cells)
    expect(page.locator("#image-table tbody .tag")).to_have_count(4)
    expect(page.locator("#patient-table")).to_be_hidden()
    assert page.get_by_label("Patient in the file name").input_value() == ""
    page.get_by_label("Patient in the file name").fill("UID_{patient}_*")
    name, found = downloaded(page, "Download CSV by patient")
    assert name == "patients-c-nmc-elephas.csv"
    assert [(row["patient"], row["images"], row["decision"]) for row in found] == [
        ("2", "2", "hem"),
        ("10", "2", "all"),
    ]
    assert [float(row["mean_all"]) for row in found] == pytest.approx([0.325, 0.7], abs=0.002)
    assert downloaded(page, "Download CSV")[1][0]["patient"] == "2"
    page.get_by_label("Patient in the file name").fill("patient seven")
    assert downloaded(page, "Download CSV by patient")[1][0]["images"] == "4"
    page.get_by_label("Patient in the file name").fill("other_{patient}")
    expect(page.locator("#patient-table")).to_be_hidden()
    expect(page.locator("#pattern-result")).to_contain_text("4 images without a patient")


def test_warnings_and_unreadable_images_are_named(page: Page, tmp_path: Path):
    page.set_input_files("#files", write(tmp_path, {"dark.png": png(0.02, green=0.02)}))
    expect(page.locator(".notice.warning")).to_contain_text("unlike the training images")
    expect(page.locator(".notice.warning li")).to_contain_text("The brightness of")
    page.get_by_role("button", name="Take a photo").wait_for(state="hidden")
    page.set_input_files("#files", write(tmp_path, {"letter.png": b"no image"}))
    expect(page.locator("#detail .notice.error")).to_have_text("Not an image.")
    expect(page.locator("#status")).to_have_text("2 images: 1 “hem”, 1 not classified.")


def test_files_that_are_no_images_are_not_sent(page: Page, service: PageService, tmp_path: Path):
    wrong = {"IMG_1.HEIC": b"x", "letter.pdf": b"x", "empty.png": b""}
    page.set_input_files("#files", write(tmp_path, wrong))
    found = page.locator("#image-table .failure").all_inner_texts()
    assert "Save the photo as JPEG" in found[0]
    assert "This is not an image" in found[1]
    assert found[2] == "The file is empty."
    assert service.requests == []


def test_a_tiff_has_a_placeholder_and_a_decision(page: Page, tmp_path: Path):
    file = io.BytesIO()
    Image.open(io.BytesIO(png(0.7))).save(file, "TIFF")
    page.set_input_files("#files", write(tmp_path, {"cell.tiff": file.getvalue()}))
    expect(page.locator(".frame .no-preview")).to_contain_text("TIFF")
    expect(page.locator(".decision")).to_have_text("all")
    expect(page.get_by_role("img", name="Heat map")).to_be_visible()


def test_the_heat_map_has_class_opacity_and_switch(
    page: Page, service: PageService, tmp_path: Path
):
    page.set_input_files("#files", write(tmp_path, {"cell.png": png(0.6)}))
    heat = page.locator(".heat")
    expect(heat).to_have_css("opacity", "0.7")
    peak, corner = heat.evaluate(
        "c => [[8, 9], [23, 23]].map(([x, y]) => [...c.getContext('2d').getImageData(x, y, 1, 1)"
        ".data])"
    )
    assert peak == [253, 231, 37, 255]
    assert corner[3] == 0
    page.get_by_label("Opacity").fill("25")
    expect(heat).to_have_css("opacity", "0.25")
    page.get_by_label("For the class").select_option("hem")
    expect(page.locator("#detail .hint").last).to_contain_text("No part of this image lowers")
    page.get_by_label("For the class").select_option("all")
    expect(page.locator("#detail .hint").last).to_contain_text("Zeiler and Fergus, 2014")
    assert service.explained == ["all", "hem"]  # the first one is remembered
    page.get_by_label("Show where the network looked").uncheck()
    expect(heat).to_have_count(0)


def test_a_failing_heat_map_leaves_the_decision(page: Page, service: PageService, tmp_path: Path):
    service.failures["/explain"] = (501, {"error": "an endpoint cannot explain"})
    page.set_input_files("#files", write(tmp_path, {"cell.png": png(0.6)}))
    expect(page.locator("#detail .hint").last).to_have_text(
        "There is no heat map. An endpoint cannot explain."
    )
    expect(page.locator(".decision")).to_have_text("all")


def test_many_images_are_sent_in_parts_and_a_busy_service_is_asked_again(
    page: Page, service: PageService, tmp_path: Path
):
    service.busy = 2
    paths = write(tmp_path, {f"{n:02}.png": png(n / 50) for n in range(40)})
    page.set_input_files("#files", paths)
    expect(page.locator("#image-table tbody .tag")).to_have_count(40)
    assert [len(names) for names in service.requests] == [16, 16, 8]
    assert [name for names in service.requests for name in names] == [
        f"{n:02}.png" for n in range(40)
    ]
    expect(page.locator("#progress")).to_be_hidden()


def test_classification_can_be_stopped(page: Page, service: PageService, tmp_path: Path):
    service.answered = 1
    paths = write(tmp_path, {f"{n:02}.png": png(n / 50) for n in range(40)})
    page.set_input_files("#files", paths)
    expect(page.locator("#image-table tbody .tag")).to_have_count(16)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#image-table tbody .failure")).to_have_count(24)
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#many")).to_be_hidden()
    expect(page.locator("#detail")).to_be_hidden()


def test_an_image_too_large_does_not_take_the_others_with_it(
    page: Page, service: PageService, tmp_path: Path
):
    service.failures["/predict"] = (413, {"error": "the body is larger than 25 MB"})
    page.set_input_files("#files", write(tmp_path, {"a.png": png(0.1), "b.png": png(0.9)}))
    expect(page.locator("#image-table tbody .failure")).to_have_text(
        ["The body is larger than 25 MB."] * 2
    )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((500, {"error": "internal error: 7"}), "Internal error: 7."),
        ((504, {}), "The service answers with the error 504."),
    ],
)
def test_an_error_of_the_service_can_be_tried_again(
    page: Page,
    service: PageService,
    tmp_path: Path,
    answer: tuple[int, dict[str, str]],
    message: str,
):
    service.failures["/predict"] = answer
    page.set_input_files("#files", write(tmp_path, {"cell.png": png(0.6)}))
    expect(page.get_by_role("alert")).to_contain_text(message)
    service.failures.clear()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".decision")).to_have_text("all")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_service_that_is_gone_is_said(page: Page, service: PageService, tmp_path: Path):
    page.route("**/predict", lambda route: route.abort())
    page.set_input_files("#files", write(tmp_path, {"cell.png": png(0.6)}))
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer.")


def test_the_key_is_asked_for_and_kept_in_memory_only(
    browser: Browser, service: PageService, tmp_path: Path
):
    service.key = "0123456789abcdef"
    with visit(browser, service.url) as found:
        page = found.page
        expect(page.get_by_label("API key", exact=True)).to_be_focused()
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#key-reason")).to_have_text("The service does not accept this key.")
        page.get_by_label("API key", exact=True).fill(service.key)
        page.keyboard.press("Enter")
        expect(page.locator("#key-form")).to_be_hidden()
        expect(page.locator("#meaning")).to_be_visible()
        page.set_input_files("#files", write(tmp_path, {"cell.png": png(0.6)}))
        expect(page.locator(".decision")).to_have_text("all")
        stored = "[document.cookie, localStorage.length, sessionStorage.length]"
        assert page.evaluate(stored) == ["", 0, 0]
        page.reload()
        expect(page.locator("#key-form")).to_be_visible()


def test_a_key_that_expires_is_asked_for_and_the_images_wait(
    page: Page, service: PageService, tmp_path: Path
):
    expect(page.locator("#key-form")).to_be_hidden()
    service.key = "0123456789abcdef"
    page.set_input_files("#files", write(tmp_path, {"cell.png": png(0.6)}))
    page.get_by_label("API key", exact=True).fill(service.key)
    page.keyboard.press("Enter")
    expect(page.locator(".decision")).to_have_text("all")


def test_examples_are_drawn_and_classified(page: Page, service: PageService):
    expect(page.locator("#examples")).to_contain_text("they show no patient and no real cell")
    page.get_by_role("button", name="drawn blast").click()
    expect(page.locator("#detail-heading")).to_have_text("drawn-blast.png")
    expect(page.locator(".decision")).to_be_visible()
    assert service.requests == [["drawn-blast.png"]]


def test_names_are_shown_as_text(page: Page, tmp_path: Path):
    name = "<img src=x onerror=alert(1)>.png"
    page.set_input_files("#files", write(tmp_path, {name: png(0.6), "b.png": png(0.2)}))
    expect(page.locator("#detail-heading")).to_have_text(name)
    assert rows(page)[0] == name
