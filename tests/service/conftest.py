"""One server for the tests of the REST contract."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.helpers.servers import running_service


@pytest.fixture(scope="session")
def client(
    tmp_path_factory: pytest.TempPathFactory, perceive_bundle: Path, stitch_bundle: Path
) -> Iterator[httpx.Client]:
    """Talks to a real service that has a tiny bundle of each kind."""
    log = tmp_path_factory.mktemp("service") / "service.log"
    with running_service(log, perceive_bundle, stitch_bundle) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client
