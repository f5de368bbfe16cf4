"""The service as an API tier and a model tier, beside the single process: the same answers, under load and faults."""

import io
import json
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from tests.helpers.pictures import encoded, scene
from tests.helpers.servers import running_process

SIZES = ((320, 240), (240, 320), (300, 300), (600, 200))
PHOTOS = [encoded(scene(*size), "JPEG") for size in SIZES]
CONCURRENCY = 16


@pytest.fixture(scope="module")
def tiers(perceive_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, httpx.Client]]:
    log = tmp_path_factory.mktemp("tiers") / "log"
    with running_process(log, perceive_bundle, SHAPE="tiers", BATCH=4) as (process, url):
        limits = httpx.Limits(max_connections=CONCURRENCY)
        with httpx.Client(base_url=url, timeout=60, limits=limits) as client:
            yield process, client


def arrays(answer: httpx.Response) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The bytes of each map, and what the answer says beside how long it took."""
    assert answer.status_code == 200, answer.text
    with np.load(io.BytesIO(answer.content), allow_pickle=False) as file:
        maps = {name: file[name] for name in file.files}
    meta = json.loads(str(maps.pop("meta")))
    meta.pop("timings")
    return {name: values.tobytes() for name, values in maps.items()}, meta


def post(client: httpx.Client, index: int, **fields: str) -> httpx.Response:
    return client.post("/v1/perceive", files={"image": PHOTOS[index % len(PHOTOS)]}, data=fields)


def batches(client: httpx.Client) -> dict[str, float]:
    """Images so far that ran in batches of at most so many."""
    pattern = r'polyview_batch_images_bucket\{bundle="tiny-perceive",le="([^"]+)"\} (\S+)'
    return {size: float(count) for size, count in re.findall(pattern, client.get("/metrics").text)}


def many(client: httpx.Client, count: int) -> list[httpx.Response]:
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        return list(pool.map(lambda index: post(client, index), range(count)))


def worker(process: subprocess.Popen[bytes], service: str) -> psutil.Process | None:
    for child in psutil.Process(process.pid).children():
        if service in child.cmdline():
            return child
    return None


def status(client: httpx.Client) -> str:
    answer = post(client, 0)
    if answer.status_code == 503:
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.json()["error"]["code"] == "bundle_failed"
    return str(answer.status_code)


def test_answers_are_those_of_the_single_process(tiers: Any, client: httpx.Client) -> None:
    """Also in batches, of sizes that do not belong together, and at the network's own size."""
    alone = [arrays(post(client, index)) for index in range(len(PHOTOS))]
    for _ in range(10):
        together = many(tiers[1], 3 * CONCURRENCY)
        assert all(arrays(answer) == alone[index % len(alone)] for index, answer in enumerate(together))
        sizes = batches(tiers[1])
        assert sizes["4.0"] == sizes["+Inf"] >= len(together)
        if sizes["1.0"] < sizes["+Inf"]:  # the tiny network is quick, and requests seldom wait for it
            break
    else:
        pytest.fail("no two images ran together")
    for fields in ({"resolution": "model"}, {"tasks": "normals"}, {"focal_px": "300", "resolution": "100"}):
        assert arrays(post(tiers[1], 1, **fields)) == arrays(post(client, 1, **fields))
    previews = [post(service, 2, format="preview").content for service in (client, tiers[1])]
    assert previews[0] == previews[1]


def test_what_runs_where_is_told(tiers: Any) -> None:
    models = tiers[1].get("/v1/models").json()["models"]
    assert [model["provider"] for model in models] == ["CPUExecutionProvider"]
    assert worker(tiers[0], "polyview-model") is not None


def test_no_request_fails(tiers: Any) -> None:
    """More than the 100 calls after which BentoML would close its connections, and cut what is under way in them."""
    answers = many(tiers[1], 120)
    assert Counter(answer.status_code for answer in answers) == {200: 120}


@pytest.mark.full
def test_none_of_a_thousand_fails(tiers: Any) -> None:
    assert Counter(answer.status_code for answer in many(tiers[1], 1000)) == {200: 1000}


def test_a_killed_model_tier_is_told_at_once_and_comes_back(tiers: Any) -> None:
    process, client = tiers
    model = worker(process, "polyview-model")
    assert model is not None
    with ThreadPoolExecutor(8) as pool:
        under_way = [pool.submit(status, client) for _ in range(16)]
        model.send_signal(signal.SIGKILL)
        assert {answer.result(15) for answer in under_way} <= {"200", "503"}
    begun = time.monotonic()
    seen = []
    while (found := status(client)) != "200":
        seen.append(found)
        if found == "503":
            assert client.get("/readyz").status_code in (200, 503)
        assert time.monotonic() - begun < 60, "the model tier did not come back"
        time.sleep(0.2)
    assert set(seen) <= {"503"}
    assert client.get("/readyz").status_code == client.get("/livez").status_code == 200


def test_what_was_accepted_is_finished_when_the_service_ends(tiers: Any) -> None:
    """The last one of this file: it ends the service that the others ask."""
    process, client = tiers
    large = encoded(scene(2000, 1400), "JPEG")
    name = 'bentoml_service_request_in_progress{endpoint="/v1/perceive",service_name="polyview"} 8.0'
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(client.post, "/v1/perceive", files={"image": large}) for _ in range(8)]
        end = time.monotonic() + 20
        while name not in client.get("/metrics").text and not any(answer.done() for answer in answers):
            assert time.monotonic() < end
            time.sleep(0.02)
        process.terminate()
        assert [answer.result().status_code for answer in answers] == [200] * 8
    assert process.wait(20) == 0
