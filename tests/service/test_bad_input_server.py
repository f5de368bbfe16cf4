"""Whatever is sent, a real server answers with its documented status and shape, never 500, and stays up."""

import gzip
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.helpers.pictures import encoded, png_header_only, scene, sixteen_bit, with_exif

PHOTO = encoded(scene(), "JPEG")


def code_of(response: httpx.Response) -> tuple[int, str]:
    body = response.json()
    assert set(body) == {"error"}
    error = body["error"]
    assert set(error) == {"code", "message", "hint"}
    assert error["message"]
    assert error["hint"]
    assert "Traceback" not in response.text
    return response.status_code, error["code"]


def perceive(client: httpx.Client, image: Any = PHOTO, **fields: Any) -> httpx.Response:
    return client.post("/v1/perceive", files={"image": ("photo.jpg", image)}, data=fields)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (b"", (415, "not_an_image")),
        (b"not an image at all", (415, "not_an_image")),
        (b"\xff\xd8\xff\xe0" + b"\0" * 100, (415, "not_an_image")),
        (b"%PDF-1.7\n", (415, "not_an_image")),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", (415, "not_an_image")),
        (encoded(scene(), "GIF"), (415, "not_an_image")),
        (PHOTO[: len(PHOTO) // 2], (415, "not_an_image")),
        (encoded(scene())[:-400], (415, "not_an_image")),
        (encoded(np.zeros((1, 1, 3), np.uint8)), (422, "too_small")),
        (encoded(np.zeros((1, 1, 3), np.uint8), "JPEG"), (422, "too_small")),
        (encoded(np.zeros((31, 500, 3), np.uint8)), (422, "too_small")),
        (png_header_only(20_000, 20_000), (422, "too_many_pixels")),
        (png_header_only(2**31 - 1, 2**31 - 1), (422, "too_many_pixels")),
        (encoded(Image.new("1", (20_000, 20_000)), "PNG"), (422, "too_many_pixels")),
        (encoded(Image.new("1", (1_000_001, 40)), "PNG"), (422, "too_many_pixels")),
        (encoded(scene().mean(2).astype(np.float32), "TIFF"), (415, "not_an_image")),
    ],
)
def test_images_that_are_refused(client: httpx.Client, image: bytes, expected: tuple[int, str]) -> None:
    assert code_of(perceive(client, image)) == expected


@pytest.mark.parametrize(
    "image",
    [
        encoded(Image.fromarray(scene()).convert("CMYK"), "JPEG"),
        encoded(Image.fromarray(scene()).convert("L"), "JPEG"),
        encoded(Image.fromarray(scene()).quantize(16)),
        encoded(Image.fromarray(scene()).convert("RGBA")),
        encoded(Image.fromarray(scene()).convert("LA")),
        encoded(Image.fromarray(scene()).convert("1")),
        sixteen_bit(scene(), ".png"),
        sixteen_bit(scene()[:, :, 0], ".tiff"),
        encoded(scene(), "BMP"),
        encoded(scene(), "WEBP", save_all=True, append_images=[Image.fromarray(scene(seed=1))]),
        encoded(scene(), "PNG", save_all=True, append_images=[Image.fromarray(scene(seed=1))]),
        with_exif(scene(64, 96), orientation=8),
        PHOTO + b"trailing bytes",
    ],
)
def test_unusual_images_that_are_answered(client: httpx.Client, image: bytes) -> None:
    response = perceive(client, image, format="png")
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"format": "jpeg"}, (400, "invalid_field")),
        ({"format": ""}, (400, "invalid_field")),
        ({"format": ["npz", "png"]}, (400, "invalid_field")),
        ({"tasks": "depth,edges"}, (400, "invalid_field")),
        ({"tasks": ""}, (400, "invalid_field")),
        ({"resolution": "0"}, (400, "invalid_field")),
        ({"resolution": "-5"}, (400, "invalid_field")),
        ({"resolution": "1e3"}, (400, "invalid_field")),
        ({"resolution": "٣٢"}, (400, "invalid_field")),
        ({"resolution": "90000"}, (422, "too_many_pixels")),
        ({"compression": "gzip"}, (400, "invalid_field")),
        ({"compression": "deflate", "format": "png"}, (400, "invalid_field")),
        ({"focal_px": "0"}, (400, "invalid_field")),
        ({"focal_px": "nan"}, (400, "invalid_field")),
        ({"focal_px": "inf"}, (400, "invalid_field")),
        ({"focal_px": "wide"}, (400, "invalid_field")),
        ({"focal_px": "[1]"}, (400, "invalid_field")),
        ({"focal": "500"}, (400, "unknown_field")),
        ({"Image": "x"}, (400, "unknown_field")),
        ({"model": "no-such-model"}, (404, "unknown_model")),
        ({"model": "tiny-stitch"}, (404, "unknown_model")),
        ({"format": "x" * 70_000}, (400, "malformed_request")),
    ],
)
def test_fields_that_are_refused(client: httpx.Client, fields: dict[str, Any], expected: tuple[int, str]) -> None:
    assert code_of(perceive(client, **fields)) == expected


@pytest.mark.parametrize("path", ["/v1/perceive", "/v1/stitch"])
def test_addresses_are_not_fetched(client: httpx.Client, path: str) -> None:
    """A listener that would notice: BentoML fetches URLs given in place of files."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.5)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/photo.jpg"
        names = ["image"] if path.endswith("perceive") else ["reference", "target"]
        boundary = {"Content-Type": "multipart/form-data; boundary=b"}
        parts = "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{address}\r\n' for name in names)
        response = client.post(path, content=parts + "--b--\r\n", headers=boundary)
        assert code_of(response) == (400, "invalid_field")
        for content_type in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
            response = client.post(path, content=address, headers={"Content-Type": content_type})
            assert code_of(response)[0] == 400
        with pytest.raises(TimeoutError):
            listener.accept()


MULTIPART = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (None, b""),
        ("application/json", b"{}"),
        ("application/json", b'{"image": null}'),
        ("application/vnd.bentoml+pickle", b"\x80\x04."),
        ("multipart/form-data", b"--b--"),
        (MULTIPART, b""),
        (MULTIPART, b"garbage"),
        (MULTIPART, b"--b--\r\n"),
        (MULTIPART, PART + PHOTO),
        (MULTIPART, PART + PHOTO + b"\r\n"),
        (MULTIPART, b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"),
        (MULTIPART, b"--b\r\n\r\nx\r\n--b--\r\n"),
        (MULTIPART, (PART + PHOTO + b"\r\n") * 2 + b"--b--\r\n"),
        (MULTIPART, b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n' * 200 + b"--b--\r\n"),
        ("multipart/form-data; boundary=" + "b" * 500, b""),
        ("multipart/form-data; boundary=b; charset=nonsense", PART + b"x\r\n--b--"),
        ("image/jpeg", PHOTO),
    ],
)
def test_bodies_that_are_refused(client: httpx.Client, content_type: str | None, body: bytes) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    status, _ = code_of(client.post("/v1/perceive", content=body, headers=headers))
    assert status in (400, 415)
    if body != PART + b"x\r\n--b--":
        assert status == 400


def test_a_compressed_body_is_named(client: httpx.Client) -> None:
    """Rather than searched for a boundary."""
    headers = {"Content-Type": MULTIPART, "Content-Encoding": "gzip"}
    response = client.post("/v1/perceive", content=gzip.compress(PART + PHOTO + b"\r\n--b--\r\n"), headers=headers)
    assert code_of(response) == (400, "malformed_request")
    assert "Content-Encoding: 'gzip'" in response.json()["error"]["message"]
    plain = {**headers, "Content-Encoding": "identity"}
    assert client.post("/v1/perceive", content=PART + PHOTO + b"\r\n--b--\r\n", headers=plain).status_code == 200


@pytest.mark.parametrize("charset", ["undefined", "unicode_escape", "utf-16", "idna", "nonsense", '"latin-1"', ""])
def test_other_charsets_are_named(client: httpx.Client, charset: str) -> None:
    """Python has codecs that raise anything, or make texts that nobody can write."""
    body = PART.replace(b"a.jpg", rb"\ud800.jpg") + PHOTO + b"\r\n--b--\r\n"
    headers = {"Content-Type": f"{MULTIPART}; charset={charset}"}
    for path in ("/v1/perceive", "/v1/jobs"):
        response = client.post(path, content=body, headers=headers)
        assert code_of(response) == (400, "malformed_request")
        assert "charset" in response.json()["error"]["message"]
    for charset in ("utf-8", '"UTF-8"', "UTF8"):
        headers = {"Content-Type": f"{MULTIPART}; charset={charset}"}
        assert client.post("/v1/perceive", content=body, headers=headers).status_code == 200


def test_text_fields_must_be_text(client: httpx.Client) -> None:
    files = {"image": ("a.jpg", PHOTO), "format": ("b.txt", b"npz")}
    assert code_of(client.post("/v1/perceive", files=files)) == (400, "invalid_field")


def test_fields_in_the_address_are_not_ignored(client: httpx.Client) -> None:
    response = client.post("/v1/perceive?format=png", files={"image": ("a.jpg", PHOTO)})
    assert code_of(response) == (400, "unknown_field")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/perceive", (405, "method_not_allowed")),
        ("PUT", "/v1/stitch", (405, "method_not_allowed")),
        ("POST", "/v1/models", (405, "method_not_allowed")),
        ("DELETE", "/", (405, "method_not_allowed")),
        ("GET", "/v1", (404, "unknown_route")),
        ("GET", "/v1/perceive/extra", (404, "unknown_route")),
        ("GET", "/page/../../settings.py", (404, "unknown_route")),
        ("GET", "/page/%2e%2e/settings.py", (404, "unknown_route")),
        ("GET", "/nothing", (404, "unknown_route")),
    ],
)
def test_routes_and_methods(client: httpx.Client, method: str, path: str, expected: tuple[int, str]) -> None:
    response = client.request(method, path)
    assert code_of(response) == expected
    if expected[0] == 405:
        assert response.headers["Allow"]


def test_a_client_that_leaves_in_the_middle_does_no_harm(client: httpx.Client) -> None:
    place = urlsplit(str(client.base_url))
    for _ in range(3):
        with socket.create_connection((place.hostname, place.port)) as connection:
            head = (
                f"POST /v1/perceive HTTP/1.1\r\nHost: x\r\nContent-Type: {MULTIPART}\r\nContent-Length: 100000\r\n\r\n"
            )
            connection.sendall(head.encode() + PART + b"x" * 5000)
    assert perceive(client).status_code == 200


@pytest.mark.full
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_damaged_requests_are_answered(client: httpx.Client, file_format: str) -> None:
    """Random bytes anywhere in the body, its boundaries and headers included."""
    rng = np.random.default_rng(3)
    content = encoded(scene(), file_format)
    field = b'\r\n--b\r\nContent-Disposition: form-data; name="resolution"\r\n\r\nmodel\r\n--b--\r\n'
    for _ in range(150):
        body = bytearray(PART + content + field)
        for position in rng.integers(0, len(body), int(rng.integers(1, 6))):
            body[position] = rng.integers(256)
        for position in rng.integers(0, len(PART), int(rng.integers(0, 2))):
            body[position] = rng.integers(256)
        sent = bytes(body[: int(rng.integers(len(body)))] if rng.random() < 0.2 else body)
        response = client.post("/v1/perceive", content=sent, headers={"Content-Type": MULTIPART})
        assert response.status_code in (200, 400, 415, 422), response.text
        if response.status_code != 200:
            code_of(response)


def test_nothing_above_was_a_server_error(client: httpx.Client) -> None:
    for line in client.get("/metrics").text.splitlines():
        if line.startswith("bentoml_service_request_total") and 'code="500"' in line:
            assert line.endswith(" 0.0"), line
