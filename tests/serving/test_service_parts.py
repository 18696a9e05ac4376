"""Parts of the service without a server: batches, media types, limits, warnings."""

import json
import threading
import time
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.service import formats
from serving.service.admission import Admission
from serving.service.batcher import Batcher
from serving.service.errors import RequestError, UnavailableError
from serving.service.keys import needs_key
from serving.service.settings import Limits

PIXELS = np.zeros((2, 2, 1), np.uint8)


class TestBatcher:
    def test_an_idle_batcher_computes_at_once_in_the_calling_thread(self) -> None:
        threads: list[threading.Thread] = []

        def forward(pixels: np.ndarray) -> np.ndarray:
            threads.append(threading.current_thread())
            return pixels.reshape(len(pixels), -1).astype(np.float32)

        future: Future[np.ndarray] = Future()
        Batcher(forward, 4).compute(PIXELS + 7, future)
        assert future.result(timeout=0).tolist() == [7, 7, 7, 7]
        assert threads == [threading.current_thread()]

    def test_images_that_arrive_meanwhile_share_batches_of_bounded_size(self) -> None:
        sizes: list[int] = []
        entered, release = threading.Event(), threading.Event()

        def forward(pixels: np.ndarray) -> np.ndarray:
            entered.set()
            assert release.wait(60)
            return pixels.reshape(len(pixels), -1)[:, :1].astype(np.float32)

        batcher = Batcher(forward, 4, sizes.append)
        futures: list[Future[np.ndarray]] = [Future() for _ in range(11)]
        first = threading.Thread(target=batcher.compute, args=(PIXELS, futures[0]))
        first.start()
        assert entered.wait(60)
        for number, future in enumerate(futures[1:], 1):
            batcher.compute(PIXELS + number, future)  # returns although none is computed
        assert not any(future.done() for future in futures)
        release.set()
        first.join()
        assert sizes == [1, 4, 4, 2]
        assert [future.result(timeout=0)[0] for future in futures] == list(range(11))

    def test_an_error_reaches_its_batch_and_no_other(self) -> None:
        def forward(pixels: np.ndarray) -> np.ndarray:
            if pixels.max() == 1:
                raise ValueError("broken")
            return pixels.reshape(len(pixels), -1)

        batcher = Batcher(forward, 4)
        futures: list[Future[np.ndarray]] = [Future() for _ in range(2)]
        for number, future in enumerate(futures, 1):
            batcher.compute(PIXELS + number, future)
        assert isinstance(futures[0].exception(timeout=0), ValueError)
        assert futures[1].result(timeout=0).tolist() == [2, 2, 2, 2]

    def test_no_image_is_forgotten_by_many_threads(self) -> None:
        def forward(pixels: np.ndarray) -> np.ndarray:
            time.sleep(0.0002)
            return pixels.reshape(len(pixels), -1)[:, :1].astype(np.float32)

        batcher = Batcher(forward, 5)
        futures: list[list[Future[np.ndarray]]] = [[Future() for _ in range(100)] for _ in range(8)]

        def work(number: int) -> None:
            for index, future in enumerate(futures[number]):
                batcher.compute(np.full((1, 1, 1), (13 * number + index) % 256, np.uint8), future)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number, own in enumerate(futures):
            for index, future in enumerate(own):
                assert future.result(timeout=0)[0] == (13 * number + index) % 256


class TestFormats:
    @given(st.binary())
    def test_no_body_causes_anything_but_a_refusal(self, body: bytes) -> None:
        for kind in ("application/json", "application/jsonlines", "application/x-image", ""):
            refused = refusal(kind, body)
            assert refused is None or refused.status in (400, 415)
            assert refused is None or "\n" not in refused.reason

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3)
            ),
        )
    )
    def test_no_document_causes_anything_but_a_refusal(self, document: Any) -> None:
        for body in (document, {"instances": document}, {"inputs": document}, {"b64": document}):
            refused = refusal("application/json", json.dumps(body).encode())
            assert refused is None or refused.status == 400

    @pytest.mark.parametrize(
        ("accept", "kind"),
        [
            ("", "application/json"),
            ("*/*", "application/json"),
            ("application/json; charset=utf-8", "application/json"),
            ("text/csv", "text/csv"),
            ("Text/CSV", "text/csv"),
            ("application/x-jsonlines", "application/x-jsonlines"),
            ("text/csv;q=0.1, application/json;q=0.9", "application/json"),
            ("application/json;q=0, text/csv", "text/csv"),
            ("text/html, text/*;q=0.5, */*;q=0.1", "text/csv"),
            ("application/json;q=high, text/csv", "text/csv"),
        ],
    )
    def test_preferred_form_is_chosen(self, accept: str, kind: str) -> None:
        assert formats.accepted(accept) == kind


class TestAdmission:
    def test_images_and_bytes_are_counted_until_they_leave(self) -> None:
        admission = Admission(Limits(images=2, queue=2, body_bytes=1024, buffered_bytes=2048))
        with admission.enter(2), pytest.raises(UnavailableError) as raised, admission.enter(1):
            pass
        assert raised.value.headers == {"Retry-After": "1"}
        assert admission.images == 0
        admission.hold(2000)
        with pytest.raises(UnavailableError):
            admission.hold(100)
        admission.release(2000)
        admission.hold(2048)


@pytest.mark.parametrize(
    ("path", "needs"),
    [
        ("/ping", False), ("/", False), ("/static/app.js", False), ("/docs/start.js", False),
        ("/model", True), ("/ping/", True), ("//", True), ("/predict", True), ("/static", True),
    ],
)  # fmt: skip
def test_health_and_pages_need_no_key(path: str, needs: bool) -> None:
    assert needs_key(path) is needs


def refusal(kind: str, body: bytes) -> RequestError | None:
    """Return why a body is refused, or None if it has images."""
    try:
        payload = formats.parse(kind, body)
    except RequestError as error:
        return error
    assert all(isinstance(one, bytes | np.ndarray) for one in payload.images)
    return None
