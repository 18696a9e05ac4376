"""Number of attempts at a request, with a server that responds with AWS's errors."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from deploy.aws.client import Aws, NotReachedError, ThrottledError
from deploy.aws.plan import Lost, Request
from tests.deploy.aws import REGION

STEPS = Request(service="emr", operation="ListSteps", parameters={"ClusterId": "j-1"}, purpose="")
#: A request that would create two resources if it were sent twice.
ADDITION = Request(
    service="emr",
    operation="AddJobFlowSteps",
    parameters={"JobFlowId": "j-1", "Steps": []},
    purpose="",
    lost=Lost(request=STEPS, path="Steps", name="n", keeps={}, by_hand=""),
)


@contextmanager
def answering(monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, bytes]) -> Iterator[list]:
    """Make AWS respond with ``answers`` in order; yield the list of remaining ones."""
    left = list(answers)

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = left.pop(0)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield left
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.slow
def test_throttled_requests_are_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    throttled = (400, b'{"__type":"ThrottlingException"}')
    with answering(monkeypatch, throttled, throttled, (200, b'{"Steps":[]}')) as left:
        assert Aws(REGION).send(STEPS, {}) is not None
    assert left == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((500, b"{}"), NotReachedError),
        ((400, b'{"__type":"ThrottlingException"}'), ThrottledError),
    ],
)
def test_what_has_no_token_is_sent_once(
    monkeypatch: pytest.MonkeyPatch, answer: tuple[int, bytes], error: type[Exception]
) -> None:
    answers = (answer, (200, b'{"StepIds":["s-1"]}'))
    with answering(monkeypatch, *answers) as left, pytest.raises(error):
        Aws(REGION).send(ADDITION, {})
    assert len(left) == 1
