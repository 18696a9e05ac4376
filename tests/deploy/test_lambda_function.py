"""The function: events of an HTTP API, and an endpoint that a stub replaces."""

import base64
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.config import Config
from botocore.response import StreamingBody
from botocore.stub import Stubber
from urllib3.filepost import encode_multipart_formdata

from data.project import ROOT
from deploy.aws.lambda_ import package
from deploy.aws.lambda_.function.application import Application
from deploy.aws.lambda_.function.endpoint import Endpoint
from deploy.aws.lambda_.function.pages import Pages
from deploy.aws.lambda_.function.settings import Settings
from serving.service.settings import Source

ACCESS = {
    "region_name": "eu-central-1",
    "aws_access_key_id": "test",
    "aws_secret_access_key": "test",  # pragma: allowlist secret
}
CARD: dict[str, Any] = {
    "name": "cells",
    "version": "3",
    "class_names": ["ill", "healthy"],
    "positive_class": "ill",
    "threshold": {"value": 0.3, "rule": "youden"},
}
KEY = b"a key of more than sixteen characters"


class Stub:
    """A function whose endpoint gives the next of the prepared answers."""

    def __init__(self, card: dict[str, Any] | None = CARD, keys: tuple[bytes, ...] = ()) -> None:
        self.client = boto3.client(
            "sagemaker-runtime", config=Config(retries={"total_max_attempts": 1}), **ACCESS
        )
        self.stubber = Stubber(self.client)
        self.stubber.activate()
        packed = package.settings("cells", None, Source(), keys)
        self.settings = Settings(**{**json.loads(packed.to_json()), "card": card})
        self.application = Application(
            self.settings, Pages(ROOT / "serving" / "page"), Endpoint(self.client, "cells")
        )

    def answers(self, document: Any, expected: dict[str, Any] | None = None) -> None:
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        body = StreamingBody(io.BytesIO(text), len(text))
        self.stubber.add_response("invoke_endpoint", {"Body": body}, expected)

    def fails(
        self, code: str, message: str = "secret 123456789012", status: int = 400, **more: Any
    ):
        self.stubber.add_client_error(
            "invoke_endpoint", code, message, status, modeled_fields=more or None
        )

    def request(
        self,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        seconds: float = 29.0,
        **headers: str,
    ) -> tuple[int, dict[str, Any], Any]:
        """Return status, headers and content of a response."""
        event: dict[str, Any] = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": "",
            "headers": {name.replace("_", "-"): value for name, value in headers.items()},
            "requestContext": {"requestId": "the-id", "http": {"method": method, "path": path}},
            "isBase64Encoded": body is not None,
        }
        if body is not None:
            event["body"] = base64.b64encode(body).decode()
        answer = self.application.answer(event, seconds)
        json.dumps(answer)  # Lambda can send nothing else
        content: Any = answer["body"]
        if answer["isBase64Encoded"]:
            content = base64.b64decode(content)
        elif content and answer["headers"]["content-type"] == "application/json":
            content = json.loads(content)
        return answer["statusCode"], answer["headers"], content

    def predict(
        self, *files: tuple[str, bytes], field: str = "images", **options: Any
    ) -> tuple[int, dict[str, Any], Any]:
        body, kind = encode_multipart_formdata([(field, file) for file in files])
        return self.request("/predict", "POST", body, content_type=kind, **options)


@pytest.fixture
def stub() -> Stub:
    return Stub()


class TestPage:
    def test_page_and_its_files(self, stub: Stub) -> None:
        status, headers, content = stub.request("/")
        assert (status, content) == (200, (ROOT / "serving/page/index.html").read_bytes())
        assert "script-src 'self'" in headers["content-security-policy"]
        status, headers, content = stub.request("/static/app.js")
        assert (status, content) == (200, (ROOT / "serving/page/static/app.js").read_bytes())
        assert headers["content-type"].startswith("text/javascript")
        status, _, content = stub.request("/static/app.js", if_none_match=headers["etag"])
        assert (status, content) == (304, "")

    def test_every_file_of_the_page_is_served(self, stub: Stub) -> None:
        """A file of a new kind needs a media type."""
        for path in (ROOT / "serving" / "page" / "static").rglob("*"):
            if path.is_file():
                name = path.relative_to(ROOT / "serving" / "page").as_posix()
                assert stub.request(f"/{name}")[0] == 200, name

    def test_examples(self, stub: Stub) -> None:
        status, _, examples = stub.request("/examples")
        assert status == 200
        assert examples
        for example in examples:
            assert stub.request("/" + example["url"])[1]["content-type"] == "image/png"

    @pytest.mark.parametrize(
        "path", ["/static/../settings.json", "/index.html", "/settings.json", "/static/", "//", ""]
    )
    def test_nothing_else_is_served(self, stub: Stub, path: str) -> None:
        assert stub.request(path)[0] == 404

    def test_headers_of_every_response(self, stub: Stub) -> None:
        for path in ("/", "/model", "/nothing"):
            headers = stub.request(path)[1]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["x-request-id"] == "the-id"
            assert headers["content-security-policy"].startswith("default-src 'none'")

    def test_wrong_method(self, stub: Stub) -> None:
        assert stub.request("/predict")[0] == 405
        assert stub.request("/model", "POST", b"")[0] == 405

    def test_heat_maps_are_not_available(self, stub: Stub) -> None:
        assert stub.request("/explain", "POST", b"")[0] == 501


class TestCard:
    def test_packed_card(self, stub: Stub) -> None:
        assert stub.request("/model")[2] == CARD

    def test_card_of_the_endpoint_is_asked_for_once(self) -> None:
        stub = Stub(card=None)
        stub.answers({"predictions": [], "card": {**CARD, "version": "9", "engine": "openvino"}})
        for _ in range(2):
            status, _, card = stub.request("/model")
            assert status == 200
            assert (card["engine"], card["explains"], card["version"]) == ("endpoint", False, "")

    def test_endpoint_without_a_card(self) -> None:
        stub = Stub(card=None)
        stub.answers({"predictions": []})
        status, _, body = stub.request("/model")
        assert status == 502
        assert "--model" in body["error"]

    def test_endpoint_that_starts(self) -> None:
        stub = Stub(card=None)
        stub.fails("ModelNotReadyException", status=429)
        status, headers, _ = stub.request("/model")
        assert (status, headers["retry-after"]) == (503, "5")


class TestPredictions:
    def test_one_image(self, stub: Stub) -> None:
        stub.answers(
            [0.4, 0.6],
            {
                "EndpointName": "cells",
                "ContentType": "application/x-image",
                "Accept": "application/json",
                "Body": b"pixels",
            },
        )
        status, _, body = stub.predict(("a.png", b"pixels"))
        assert status == 200
        assert body["request_id"] == "the-id"
        assert body["model"] == {"name": "cells", "version": "3"}
        assert body["threshold"] == {"class": "ill", "value": 0.3, "rule": "youden"}
        (image,) = body["images"]
        assert (image["name"], image["class"], image["decision"]) == ("a.png", "healthy", "ill")
        assert image["probabilities"] == {
            "ill": float(np.float32(0.4)),
            "healthy": float(np.float32(0.6)),
        }

    @pytest.mark.parametrize("kind", ["image/jpeg", "application/x-image", "IMAGE/PNG; x=y"])
    def test_raw_image(self, stub: Stub, kind: str) -> None:
        stub.answers([0.1, 0.9])
        status, _, body = stub.request("/predict", "POST", b"pixels", content_type=kind)
        assert status == 200
        assert [image["name"] for image in body["images"]] == [""]

    def test_answers_are_in_the_order_of_the_files(self, stub: Stub) -> None:
        class Slow:
            """The first image takes longest."""

            def invoke_endpoint(self, Body: bytes, **_: Any) -> Any:  # noqa: N803
                share = float(Body)
                time.sleep(0.2 * share)
                return {"Body": io.BytesIO(json.dumps([share, 1 - share]).encode())}

        stub.application._endpoint = Endpoint(Slow(), "cells")
        shares = [1.0, 0.5, 0.25, 0.125, 0.0]
        _, _, body = stub.predict(*((f"{share}", str(share).encode()) for share in shares))
        assert [image["name"] for image in body["images"]] == [str(share) for share in shares]
        assert [image["probabilities"]["ill"] for image in body["images"]] == shares

    def test_refused_image_beside_others(self, stub: Stub) -> None:
        # The answers are given in the order of the requests: one request after the other.
        reason = json.dumps({"error": "not an image", "message": "not an image"})
        stub.fails("ModelError", OriginalStatusCode=415, OriginalMessage=reason)
        status, _, body = stub.predict(("a.txt", b"text"))
        assert status == 415
        assert body["error"] == "not an image"
        assert body["images"] == [{"name": "a.txt", "error": "not an image", "status": 415}]
        stub.answers([0.1, 0.9])
        status, _, body = stub.predict(("empty.png", b""), ("b.png", b"pixels"))
        assert status == 200
        assert body["images"][0] == {
            "name": "empty.png",
            "error": "the file is empty",
            "status": 415,
        }
        assert body["images"][1]["decision"] == "healthy"

    @pytest.mark.parametrize(
        ("code", "status", "more", "expected"),
        [
            ("ThrottlingException", 400, {}, 503),
            ("ServiceUnavailable", 503, {}, 503),
            ("ModelError", 424, {"OriginalStatusCode": 503, "OriginalMessage": "x"}, 503),
            ("ModelError", 424, {"OriginalStatusCode": 500, "OriginalMessage": "Traceback"}, 502),
            ("ModelError", 424, {"OriginalStatusCode": 422, "OriginalMessage": "Traceback"}, 422),
            ("ValidationError", 400, {}, 502),
            ("AccessDeniedException", 403, {}, 502),
            ("Other", 413, {}, 413),
        ],
    )
    def test_errors_of_the_endpoint(
        self,
        stub: Stub,
        capsys: pytest.CaptureFixture,
        code: str,
        status: int,
        more: dict[str, Any],
        expected: int,
    ) -> None:
        stub.fails(code, status=status, **more)
        found, headers, body = stub.predict(("a.png", b"pixels"))
        assert found == expected
        assert headers.get("retry-after") == ("5" if expected == 503 else None)
        assert "\n" not in body["error"]
        # AWS's messages name the account: they are for the log alone.
        assert "secret" not in json.dumps(body)
        assert "Traceback" not in json.dumps(body)
        assert ("secret" in capsys.readouterr().out) == (expected != 422)

    @pytest.mark.parametrize(
        "answer",
        [[0.5], ["a", "b"], {"error": 1}, {"predictions": []}, [0.1, 2.0], b"<html>", None],
    )
    def test_answers_that_are_no_probabilities(self, stub: Stub, answer: Any) -> None:
        stub.answers(answer)
        assert stub.predict(("a.png", b"pixels"))[0] == 502

    def test_endpoint_that_does_not_answer_in_time(self, stub: Stub) -> None:
        class Late:
            def invoke_endpoint(self, **_: Any) -> Any:
                time.sleep(0.6)
                return {"Body": io.BytesIO(b"[0, 1]")}

        stub.application._endpoint = Endpoint(Late(), "cells")
        began = time.monotonic()
        status, headers, body = stub.predict(("a.png", b"pixels"), seconds=2.2)
        assert time.monotonic() - began < 0.5
        assert (status, headers["retry-after"]) == (503, "5")
        assert "in time" in body["error"]

    def test_endpoint_that_is_not_reached(self, stub: Stub) -> None:
        config = Config(retries={"total_max_attempts": 1}, connect_timeout=1)
        client = boto3.client(
            "sagemaker-runtime", endpoint_url="http://127.0.0.1:9", config=config, **ACCESS
        )
        stub.application._endpoint = Endpoint(client, "cells")
        status, _, body = stub.predict(("a.png", b"pixels"))
        assert (status, body["error"]) == (503, "the endpoint is not reached")

    def test_defect_of_the_function(self, stub: Stub, capsys: pytest.CaptureFixture) -> None:
        stub.application._endpoint = None  # type: ignore[assignment]
        status, _, body = stub.predict(("a.png", b"pixels"))
        assert status == 500
        assert body["error"] == "internal error: the log has the reason under the-id"
        assert "AttributeError" in capsys.readouterr().out


class TestRefusals:
    def test_wrong_media_type(self, stub: Stub) -> None:
        assert stub.request("/predict", "POST", b"{}", content_type="application/json")[0] == 415
        assert stub.request("/predict", "POST", b"{}")[0] == 415

    def test_no_images(self, stub: Stub) -> None:
        assert stub.predict()[0] == 400
        assert stub.request("/predict", "POST", b"", content_type="image/png")[0] == 400

    def test_field_with_another_name(self, stub: Stub) -> None:
        status, _, body = stub.predict(("a.png", b"x"), field="picture")
        assert (status, body["error"]) == (400, "name the field of the files 'images'")

    def test_too_many_images(self, stub: Stub) -> None:
        assert stub.predict(*[("a.png", b"x")] * 65)[0] == 413

    def test_too_large_a_body(self, stub: Stub) -> None:
        status, _, body = stub.predict(("a.png", bytes(4_500_000)))
        assert (status, body["error"]) == (413, "the body exceeds 4.5 MB: send fewer images")

    def test_body_that_is_not_base64(self, stub: Stub) -> None:
        event = {
            "rawPath": "/predict",
            "headers": {"Content-Type": "image/png"},
            "body": "%",
            "isBase64Encoded": True,
            "requestContext": {"requestId": "1", "http": {"method": "POST"}},
        }
        assert stub.application.answer(event, 29)["statusCode"] == 400

    def test_keys(self) -> None:
        stub = Stub(keys=(b"another key of sixteen or more", KEY))
        assert stub.request("/")[0] == 200
        assert stub.request("/static/app.js")[0] == 200
        for path in ("/model", "/examples"):
            status, headers, _ = stub.request(path)
            assert (status, headers["www-authenticate"]) == (401, "Bearer")
            assert stub.request(path, x_api_key=KEY.decode() + "x")[0] == 401
            assert stub.request(path, x_api_key=KEY.decode())[0] == 200
            assert stub.request(path, authorization=f"Bearer {KEY.decode()}")[0] == 200
        assert stub.predict(("a.png", b"x"))[0] == 401


@pytest.mark.slow
def test_answers_are_those_of_the_service(
    recorded_model: Path, cells: Path, tmp_path: Path
) -> None:
    """The service is both the endpoint behind the function and the reference."""
    from tests.serving.running import running

    files = [(path.name, path.read_bytes()) for path in sorted(cells.rglob("*.bmp"))[:3]]
    with running(tmp_path, recorded_model) as service:
        client = boto3.client("sagemaker-runtime", endpoint_url=service.url, **ACCESS)
        stub = Stub(card=None)
        stub.application._endpoint = Endpoint(client, "cells")
        status, _, body = stub.predict(*files)
        assert status == 200
        reference = service.post_files("/predict", files).json()
        card = stub.request("/model")[2]
        assert card == {**service.get("/model").json(), "engine": "endpoint", "explains": False}
        same_headers: Callable[[Any], dict[str, str]] = lambda headers: {  # noqa: E731
            name: headers[name] for name in (*stub.settings.headers, "content-security-policy")
        }
        for path in ("/", "/static/app.js", "/model", "/nothing"):
            assert same_headers(stub.request(path)[1]) == same_headers(service.get(path).headers)
    for image, other in zip(body["images"], reference["images"], strict=True):
        unknown: dict[str, Any] = {"width": None, "height": None, "warnings": []}
        assert image == {**other, **unknown}
    for document in (body, reference):
        del document["images"], document["request_id"]
    assert body == reference
