"""Tests of the answers of a running service: SageMaker's contract, routes of the page, metrics."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import numpy as np
import pytest
from botocore.exceptions import ClientError
from PIL import Image

from serving import Classifier
from tests.serving.running import Running, running

pytestmark = pytest.mark.slow

ACCESS = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "eu-central-1"}


@pytest.fixture(scope="module")
def service(recorded_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("service"), recorded_model) as found:
        yield found


@pytest.fixture(scope="module")
def expected(recorded_model: Path, cell_files: list[Path]) -> np.ndarray:
    """Probabilities of the first eight cells, without the service."""
    return Classifier.open(recorded_model).probabilities(cell_files[:8])


class TestInvocations:
    """``POST /invocations``, which SageMaker calls."""

    @pytest.mark.parametrize(
        "media_type", ["application/x-image", "image/bmp", "image/jpeg", "application/octet-stream"]
    )
    def test_an_image_gives_its_probabilities(
        self, service: Running, cell_files: list[Path], expected: np.ndarray, media_type: str
    ) -> None:
        answer = service.post("/invocations", cell_files[0].read_bytes(), media_type)
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        np.testing.assert_allclose(answer.json(), expected[0], atol=1e-6)

    def test_formats_are_told_apart_by_content(
        self, service: Running, cell_files: list[Path], expected: np.ndarray, tmp_path: Path
    ) -> None:
        for suffix in ("png", "webp", "tiff"):
            path = tmp_path / f"cell.{suffix}"
            Image.open(cell_files[1]).save(path, lossless=True)
            answer = service.post("/invocations", path.read_bytes(), "image/png")
            np.testing.assert_allclose(answer.json(), expected[1], atol=1e-6, err_msg=suffix)

    def test_json_has_images_in_base64(
        self, service: Running, cell_files: list[Path], expected: np.ndarray
    ) -> None:
        texts = [base64.b64encode(path.read_bytes()).decode() for path in cell_files[:2]]
        one, two = expected[0], expected[:2]
        forms: list[tuple[Any, np.ndarray]] = [
            (texts[0], one),
            ({"b64": texts[0]}, one),
            (f"data:image/bmp;base64,{texts[0]}", one),
            (texts, two),
            ([{"b64": text} for text in texts], two),
        ]
        for document, wanted in forms:
            answer = service.post("/invocations", json.dumps(document).encode(), "application/json")
            np.testing.assert_allclose(answer.json(), wanted, atol=1e-6)
        forms = [
            ({"instances": texts}, two),
            ({"inputs": texts}, two),
            ({"inputs": texts[0]}, expected[:1]),
            ({"instances": [{"b64": texts[0]}]}, expected[:1]),
        ]
        for document, wanted in forms:
            answer = service.post("/invocations", json.dumps(document).encode(), "application/json")
            np.testing.assert_allclose(answer.json()["predictions"], wanted, atol=1e-6)

    def test_json_has_arrays(
        self, service: Running, cell_files: list[Path], expected: np.ndarray
    ) -> None:
        pixels = np.stack([np.asarray(Image.open(path)) for path in cell_files[:2]])
        for document, wanted in (
            (pixels[0].tolist(), expected[0]),
            (pixels.tolist(), expected[:2]),
            ((pixels[0] / 255.0).tolist(), expected[0]),
        ):
            answer = service.post("/invocations", json.dumps(document).encode(), "application/json")
            np.testing.assert_allclose(answer.json(), wanted, atol=1e-6)

    def test_answers_are_available_as_csv_and_json_lines(
        self, service: Running, cell_files: list[Path], expected: np.ndarray
    ) -> None:
        texts = [base64.b64encode(path.read_bytes()).decode() for path in cell_files[:2]]
        lines = "\n".join(map(json.dumps, texts)).encode()
        answer = service.post(
            "/invocations", lines, "application/jsonlines", {"Accept": "text/csv"}
        )
        assert answer.headers["Content-Type"].startswith("text/csv")
        rows = [[float(value) for value in row.split(",")] for row in answer.body.decode().split()]
        np.testing.assert_allclose(rows, expected[:2], atol=1e-6)
        accept = {"Accept": "image/png;q=0.9, application/jsonlines;q=0.5"}
        answer = service.post("/invocations", lines, "application/jsonlines", accept)
        rows = [json.loads(line) for line in answer.body.splitlines()]
        np.testing.assert_allclose(rows, expected[:2], atol=1e-6)

    def test_every_cell_has_the_probabilities_of_the_classifier(
        self, service: Running, cell_files: list[Path], expected: np.ndarray
    ) -> None:
        texts = [base64.b64encode(path.read_bytes()).decode() for path in cell_files[:8]]
        body = json.dumps({"instances": texts}).encode()
        found = service.post("/invocations", body, "application/json").json()["predictions"]
        np.testing.assert_allclose(found, expected, atol=1e-5)

    @pytest.mark.parametrize(
        ("body", "media_type", "status", "reason"),
        [
            (b"", "image/png", 400, "the body is empty"),
            (b"no image", "image/png", 415, "not an image"),
            (b"%PDF-1.7", "application/x-image", 415, "PDF"),
            (b"no image", "text/plain", 415, "use application/x-image"),
            (b"{", "application/json", 400, "not valid JSON"),
            (b"[" * 100_000, "application/json", 400, "not valid JSON"),
            (b"{}", "application/json", 400, "name them 'instances'"),
            (b"[]", "application/json", 400, "no image"),
            (b'{"instances": []}', "application/json", 400, "no images"),
            (b'["/etc/passwd"]', "application/json", 400, "not valid base64"),
            (b'"s3://bucket/key"', "application/json", 400, "not valid base64"),
            (b'"bm90IGFuIGltYWdl"', "application/json", 415, "not an image"),
            (b"[[1, 2], [3]]", "application/json", 400, "differ in length"),
            (b"[[1, 2], [3, 900]]", "application/json", 422, "from 0 to 255"),
            (b"[1, 2]", "application/json", 400, "base64 text or an array"),
            (b"true", "application/json", 400, "base64 text or an array"),
        ],
    )
    def test_what_is_wrong_is_said_in_one_line(
        self, service: Running, body: bytes, media_type: str, status: int, reason: str
    ) -> None:
        answer = service.post("/invocations", body, media_type)
        document = answer.json()
        assert (answer.status, reason in document["error"]) == (status, True), document
        assert "\n" not in document["error"]
        assert document["request_id"] == answer.headers["X-Request-ID"]

    def test_a_damaged_image_is_refused(self, service: Running, cell_files: list[Path]) -> None:
        answer = service.post("/invocations", cell_files[0].read_bytes()[:3000])
        assert answer.status == 422
        assert "damaged" in answer.json()["error"]

    def test_the_wrong_one_of_several_images_is_named(
        self, service: Running, cell_files: list[Path]
    ) -> None:
        good = base64.b64encode(cell_files[0].read_bytes()).decode()
        body = json.dumps({"instances": [good, "bm90IGFuIGltYWdl"]}).encode()
        answer = service.post("/invocations", body, "application/json")
        assert answer.status == 415
        assert answer.json()["error"] == "image 2 of 2: not an image"

    def test_an_answer_in_another_form_is_refused(
        self, service: Running, cell_files: list[Path]
    ) -> None:
        accept = {"Accept": "image/png"}
        assert service.post("/invocations", b"", headers=accept).status == 406


class TestBoto3:
    """Amazon's own client, with the address of the service."""

    def test_endpoint_is_invoked(
        self, service: Running, cell_files: list[Path], expected: np.ndarray
    ) -> None:
        client = boto3.client("sagemaker-runtime", endpoint_url=service.url, **ACCESS)
        answer = client.invoke_endpoint(
            EndpointName="cells",
            ContentType="application/x-image",
            Body=cell_files[0].read_bytes(),
        )
        assert answer["ContentType"] == "application/json"
        assert answer["InvokedProductionVariant"] == "AllTraffic"
        np.testing.assert_allclose(json.loads(answer["Body"].read()), expected[0], atol=1e-6)
        answer = client.invoke_endpoint(
            EndpointName="cells",
            ContentType="image/bmp",
            Accept="text/csv",
            Body=cell_files[0].read_bytes(),
        )
        assert answer["Body"].read().count(b",") == 1

    def test_error_has_the_reason(self, service: Running) -> None:
        config = botocore.config.Config(retries={"total_max_attempts": 1})
        client = boto3.client(
            "sagemaker-runtime", endpoint_url=service.url, config=config, **ACCESS
        )
        with pytest.raises(ClientError, match="not an image") as raised:
            client.invoke_endpoint(EndpointName="cells", ContentType="image/png", Body=b"text")
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 415


class TestPredict:
    """``POST /predict`` and ``GET /model``, which the page uses."""

    def test_files_are_answered_in_their_order(
        self, service: Running, cell_files: list[Path], expected: np.ndarray, recorded_model: Path
    ) -> None:
        files = [(path.name, path.read_bytes()) for path in cell_files[:3]]
        files.insert(1, ("notes.txt", b"no image"))
        answer = service.post_files("/predict", files)
        assert answer.status == 200
        document = answer.json()
        first, second, *rest = document["images"]
        wanted = Classifier.open(recorded_model).predictions(expected[:1])[0]
        assert (first["class"], first["decision"]) == (wanted.class_name, wanted.decision)
        assert first["probabilities"] == pytest.approx(wanted.probabilities, abs=1e-6)
        assert (first["width"], first["height"], first["warnings"]) == (48, 48, [])
        assert second == {"name": "notes.txt", "error": "not an image", "status": 415}
        assert [one["name"] for one in rest] == [path.name for path in cell_files[1:3]]
        assert document["model"]["name"] == "synthetic-keras_local"
        assert document["threshold"]["class"] == document["classes"][0]
        assert document["threshold"]["rule"] == "youden"

    def test_decisions_follow_the_threshold(self, service: Running, cell_files: list[Path]) -> None:
        files = [(path.name, path.read_bytes()) for path in cell_files[:64]]
        document = service.post_files("/predict", files).json()
        threshold, positive = document["threshold"]["value"], document["threshold"]["class"]
        decisions = {
            one["decision"] == positive: one["probabilities"][positive] >= threshold
            for one in document["images"]
        }
        assert decisions == {True: True, False: False}

    def test_one_file_that_is_no_image_is_an_error(self, service: Running) -> None:
        answer = service.post_files("/predict", [("notes.txt", b"no image")])
        assert answer.status == 415
        assert answer.json()["error"] == "not an image"
        assert answer.json()["images"][0]["name"] == "notes.txt"

    def test_an_unusual_image_is_noticed(self, service: Running, tmp_path: Path) -> None:
        path = tmp_path / "white.png"
        Image.new("RGB", (300, 50), "white").save(path)
        (one,) = service.post_files("/predict", [("white.png", path.read_bytes())]).json()["images"]
        named = " ".join(one["warnings"])
        for what in ("width of 300", "brightness of 255", "contrast of 0", "mean red of 255"):
            assert what in named
        assert "height" not in named

    def test_a_turned_photograph_has_the_size_at_which_it_is_shown(
        self, service: Running, tmp_path: Path
    ) -> None:
        path = tmp_path / "turned.jpg"
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (60, 40)).save(path, exif=exif)
        (one,) = service.post_files("/predict", [("t.jpg", path.read_bytes())]).json()["images"]
        assert (one["width"], one["height"]) == (40, 60)

    @pytest.mark.parametrize(
        ("body", "media_type", "status"),
        [
            (b"x", "image/png", 415),
            (b"x", "multipart/form-data; boundary=x", 400),
            (b"x", "multipart/form-data", 400),
            (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n',
             "multipart/form-data; boundary=x", 400),
        ],
    )  # fmt: skip
    def test_a_form_without_images_is_refused(
        self, service: Running, body: bytes, media_type: str, status: int
    ) -> None:
        answer = service.post("/predict", body, media_type)
        assert answer.status == status, answer.body
        assert answer.json()["error"]

    def test_model_card_is_available(self, service: Running) -> None:
        card = service.get("/model").json()
        assert card["name"] == "synthetic-keras_local"
        assert card["engine"] == "openvino"
        assert card["explains"] is True
        assert card["class_names"]
        assert "not a medical device" in card["disclaimer"]

    def test_heat_map_has_the_size_of_the_prepared_image(
        self, service: Running, cell_files: list[Path], tmp_path: Path
    ) -> None:
        card = service.get("/model").json()
        content = cell_files[0].read_bytes()
        form = {"class": card["class_names"][1]}
        answer = service.post_files("/explain", [("a.bmp", content)], "image", **form)
        assert answer.status == 200, answer.body
        path = tmp_path / "heat.png"
        path.write_bytes(base64.b64decode(answer.json()["heatmap"]))
        assert Image.open(path).size == (24, 24)
        assert Image.open(path).mode == "RGBA"
        assert answer.json()["method"] == "occlusion"

    def test_only_one_image_of_a_known_class_is_explained(
        self, service: Running, cell_files: list[Path]
    ) -> None:
        file = ("a.bmp", cell_files[0].read_bytes())
        assert service.post_files("/explain", [file, file], "image").status == 400
        answer = service.post_files("/explain", [file], "image", **{"class": "frog"})
        assert answer.status == 400
        assert "the classes are" in answer.json()["error"]
        assert service.post_files("/explain", [("a", b"text")], "image").status == 415


class TestAround:
    """Tests of the headers of every answer, and of the routes for operation."""

    def test_health_is_reported(self, service: Running) -> None:
        assert service.get("/ping").status == 200
        assert service.get("/livez").json() == {"alive": True}
        assert service.get("/readyz").json()["model"] == "synthetic-keras_local"

    @pytest.mark.parametrize("path", ["/model", "/", "/docs", "/nothing", "/ping", "/examples"])
    def test_answers_forbid_what_they_do_not_need(self, service: Running, path: str) -> None:
        headers = service.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers
        assert "Server" not in headers

    def test_request_id_is_taken_over_if_it_is_harmless(self, service: Running) -> None:
        given = service.get("/ping", {"X-Request-ID": "trace-1.a:b"})
        assert given.headers["X-Request-ID"] == "trace-1.a:b"
        for forged in ('a"b', "a b", "x" * 200):
            made = service.get("/ping", {"X-Request-ID": forged}).headers["X-Request-ID"]
            assert re.fullmatch("[0-9a-f]{32}", made)

    def test_documentation_loads_nothing_from_another_host(self, service: Running) -> None:
        page = service.get("/docs").body.decode()
        addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert addresses
        for address in addresses:
            assert "//" not in address
            if not address.startswith("data:"):
                assert service.get(f"/{address}").status == 200
        paths = service.get("/openapi.json").json()["paths"]
        assert {"/invocations", "/predict", "/model", "/metrics", "/readyz"} <= paths.keys()
        assert service.get("/docs/../app.py").status == 404

    def test_metrics_count(self, service: Running, cell_files: list[Path]) -> None:
        names = (
            'sparkdl_requests_total{route="/invocations",status="200"}',
            'sparkdl_requests_total{route="/invocations",status="415"}',
            'sparkdl_request_seconds_count{route="/invocations"}',
            'sparkdl_rejected_images_total{reason="not_an_image"}',
            "sparkdl_batch_images_count",
        )
        before = [service.metric(name) for name in names]
        service.post("/invocations", cell_files[0].read_bytes())
        service.post("/invocations", b"no image")
        after = [service.metric(name) for name in names]
        assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 2, 1, 1]
        assert service.metric("sparkdl_queue_images") == 0
        text = service.get("/metrics").body.decode()
        assert re.search(r'sparkdl_predictions_total\{decision="(all|hem)"\} \d', text)
        assert 'sparkdl_model{engine="openvino",name="synthetic-keras_local"' in text

    def test_log_has_neither_names_nor_content(
        self, service: Running, cell_files: list[Path]
    ) -> None:
        header = {"X-Request-ID": "looked-for"}
        content = cell_files[0].read_bytes()
        body = b'--x\r\nContent-Disposition: form-data; name="images"; filename="Mrs-Smith.bmp"'
        body += b"\r\n\r\n" + content + b"\r\n--x--\r\n"
        service.post("/predict", body, "multipart/form-data; boundary=x", header)
        service.get("/static/Mrs-Smith.png")
        lines = service.logged()
        (line,) = [one for one in lines if one.get("request_id") == "looked-for"]
        assert line["route"] == "/predict"
        assert line["status"] == 200
        assert line["bytes"] == len(body)
        assert "Smith" not in service.log.read_text()

    def test_memory_is_small_and_heavy_packages_are_absent(self, service: Running) -> None:
        folder = Path("/proc") / str(service.process.pid)
        found = re.search(r"^Pss:\s+(\d+) kB", (folder / "smaps_rollup").read_text(), re.M)
        assert found
        assert int(found[1]) < 250_000
        maps = (folder / "maps").read_text()
        assert "openvino" in maps
        for package in ("tensorflow", "sklearn", "scipy", "pandas"):
            assert f"/site-packages/{package}/" not in maps
