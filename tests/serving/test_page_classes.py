"""The page with a model of more than two classes."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from models.card import Threshold
from tests.serving.browser import png, visit, write
from tests.serving.page_service import CARD, PageService

pytestmark = pytest.mark.slow


def test_more_than_two_classes(browser: Browser, service: PageService, tmp_path: Path):
    names = ("mel", "nv", "bcc", "akiec", "bkl")
    service.card = CARD.model_copy(
        update={"class_names": names, "positive_class": "mel", "threshold": Threshold()}
    )
    with visit(browser, service.url) as found:
        page = found.page
        expect(page.locator("#meaning")).to_contain_text("the most probable class")
        paths = write(tmp_path, {"a.png": png(0.9), "b.png": png(0.02)})
        page.set_input_files("#files", paths)
        expect(page.locator("#image-table tbody .tag")).to_have_text(["mel", "nv"])
        titles = page.locator("#image-table thead button").all_inner_texts()
        assert [title.rstrip() for title in titles] == [
            "Image", "Decision", "Most probable", "P(mel)", "Warnings",
        ]  # fmt: skip
        assert page.locator(".bars dt").count() == 5
        assert found.errors == []
