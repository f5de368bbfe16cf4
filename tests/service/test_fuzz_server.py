"""Requests made from the API description, and damaged images: every answer is a described one, and nothing dies."""

import re
import struct
import warnings
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from openapi_spec_validator import validate

from service.openapi import describe
from service.settings import Settings
from tests.helpers.pictures import encoded, png_header_only, scene, sixteen_bit, with_exif

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    response_headers_conformance,
]  # fmt: skip
DESCRIPTION = describe(Settings())
OPERATIONS = {
    f"{operation.method.upper()} {operation.path}": operation
    for operation in (found.ok() for found in schemathesis.openapi.from_dict(DESCRIPTION).get_all_operations())
}
CASES, ALL_CASES = 30, 900
PHOTOS = {"image", "reference", "target"}
KINDS = {
    "JPEG": encoded(scene(), "JPEG"), "JPEG with EXIF": with_exif(scene(), "JPEG", 6, 28), "PNG": encoded(scene()),
    "PNG 16": sixteen_bit(scene(), ".png"), "WebP": encoded(scene(), "WEBP"), "TIFF": encoded(scene(), "TIFF"),
    "TIFF LZW": encoded(scene(), "TIFF", compression="tiff_lzw"), "BMP": encoded(scene(), "BMP"),
    "progressive": encoded(scene(), "JPEG", progressive=True),
}  # fmt: skip


def process_start(client: httpx.Client) -> str:
    found = re.search(r"^process_start_time_seconds (\S+)$", client.get("/metrics").text, re.MULTILINE)
    assert found
    return found[1]


@pytest.fixture
def one_process(client: httpx.Client) -> Iterator[None]:
    """The process that answers at the end is the one that answered at the beginning."""
    before = process_start(client)
    yield
    assert process_start(client) == before
    assert client.get("/readyz").status_code == 200


def test_the_description_is_valid_and_is_what_is_served(client: httpx.Client) -> None:
    validate(DESCRIPTION)
    served = client.get("/docs.json").json()
    assert set(served["paths"]) == set(DESCRIPTION["paths"])
    for path in ("/v1/perceive", "/v1/stitch", "/v1/jobs"):
        schema = served["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        assert schema["additionalProperties"] is False
    answer = client.get("/v1/perceive")
    assert answer.headers["Allow"] == "POST"


def fuzz(client: httpx.Client, name: str, cases: int) -> None:
    operation, url = OPERATIONS[name], str(client.base_url)

    @seed(20261121)
    @settings(max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def ask(case: schemathesis.Case) -> None:
        if isinstance(case.body, dict):  # random bytes are never an image: let half of the requests come further
            for field in PHOTOS & set(case.body):
                if len(str(case.body[field])) % 2:
                    case.body[field] = KINDS["JPEG"]
        case.validate_response(case.call(base_url=url), checks=CHECKS)

    ask()


@pytest.mark.parametrize("name", OPERATIONS)
def test_requests_from_the_description(client: httpx.Client, one_process: None, name: str) -> None:
    fuzz(client, name, CASES)


@pytest.mark.full
@pytest.mark.parametrize("name", OPERATIONS)
def test_many_requests_from_the_description(client: httpx.Client, one_process: None, name: str) -> None:
    fuzz(client, name, ALL_CASES)


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """One of the ways in which files go wrong, mostly near the head, where the sizes are."""
    content = bytearray(data)
    place = int(rng.integers(0, min(len(content), 400 if rng.random() < 0.7 else len(content))))
    match rng.integers(0, 6):
        case 0:
            content[place] ^= 1 << int(rng.integers(0, 8))
        case 1:
            for other in rng.integers(0, len(content), 40):
                content[other] = int(rng.integers(0, 256))
        case 2:
            del content[place:]
        case 3:
            del content[place : place + int(rng.integers(1, 60))]
        case 4:
            content[place : place + 4] = struct.pack("<I", int(rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFF0000])))
        case _:
            content[place:place] = content[: int(rng.integers(1, 200))]
    return bytes(content)


def send_damaged(client: httpx.Client, count: int) -> None:
    rng = np.random.default_rng(7)
    names = list(KINDS)
    for number in range(count):
        kind = names[number % len(names)]
        image = damaged(KINDS[kind], rng)
        answer = client.post("/v1/perceive", files={"image": ("a", image)}, data={"tasks": "depth", "resolution": "64"})
        assert answer.status_code in (200, 415, 422), f"{kind}, number {number}: {answer.text[:300]}"
        if answer.status_code != 200:
            assert set(answer.json()["error"]) == {"code", "message", "hint"}


def test_damaged_images(client: httpx.Client, one_process: None) -> None:
    send_damaged(client, 90)


@pytest.mark.full
def test_many_damaged_images(client: httpx.Client, one_process: None) -> None:
    send_damaged(client, 900)


def bombs() -> dict[str, bytes]:
    """Small files that announce more than anybody should decode."""
    jpeg = bytearray(KINDS["JPEG"])
    frame = jpeg.find(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    bmp = bytearray(KINDS["BMP"])
    bmp[18:26] = struct.pack("<ii", 2**31 - 1, 2**31 - 1)
    webp = bytearray(encoded(scene(), "WEBP", lossless=True))
    webp[21:25] = b"\xff\xff\xff\x0f"
    tiff = KINDS["TIFF"].replace(struct.pack("<HHI", 256, 4, 1), struct.pack("<HHI", 256, 4, 0xFFFFFFFF))
    return {
        "png": png_header_only(2**31 - 1, 2**31 - 1), "png wide": png_header_only(2**31 - 1, 32), "jpeg": bytes(jpeg),
        "bmp": bytes(bmp), "webp": bytes(webp), "tiff": tiff,
    }  # fmt: skip


@pytest.mark.parametrize("kind", bombs())
def test_header_bombs(client: httpx.Client, one_process: None, kind: str) -> None:
    answer = client.post("/v1/perceive", files={"image": ("a", bombs()[kind])}, data={"resolution": "64"})
    assert answer.status_code in ((200, 415, 422) if kind == "tiff" else (415, 422)), answer.text[:300]
