"""The Grafana dashboard asks for metrics and labels that the service really has."""

import json
import re
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from service import metrics
from tests.helpers.pictures import encoded, scene

DASHBOARD = json.loads((Path(__file__).parents[2] / "deploy" / "grafana" / "polyview.json").read_text())
OWN = re.compile(r"\b(?:bentoml_service|polyview|process)_\w+")
# Added by Prometheus itself.
FROM_SCRAPING = {"instance", "job"}


def queries() -> list[str]:
    found = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return found + [v["query"]["query"] for v in DASHBOARD["templating"]["list"] if v["type"] == "query"]


def exposed(client: httpx.Client) -> dict[str, set[str]]:
    """Labels by name of every sample, after one of every kind of event."""
    photo = encoded(scene(), "JPEG")
    assert client.post("/v1/perceive", files={"image": photo}).status_code == 200
    job = client.post("/v1/jobs", files={"files": ("a.jpg", photo)}, data={"kind": "perceive"}).headers["Location"]
    while client.get(job).json()["status"] not in ("done", "failed"):
        pass
    while "polyview_job_items_total{" not in client.get("/metrics").text:  # counted after the item is published
        pass
    samples: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            samples.setdefault(sample.name, set()).update(sample.labels)
    return samples


def test_every_query_is_about_something_that_exists(client: httpx.Client) -> None:
    samples = exposed(client)
    assert len(queries()) >= 12
    for query in queries():
        names = OWN.findall(query)
        assert names, query
        for name in names:
            assert name in samples, f"{name} in {query}"
            labels = samples[name] | FROM_SCRAPING
            used = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", query) + _grouped(query)
            assert set(used) <= labels, f"{set(used) - labels} in {query}"


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    ours = [metrics.TOTAL, metrics.DURATION, metrics.IN_PROGRESS, metrics.OUTCOMES, metrics.STAGES, metrics.ITEMS]
    shown = " ".join(queries())
    for metric in [*ours, metrics.JOBS]:
        assert metric.describe()[0].name in shown


def test_panels_are_distinct_and_share_the_variables() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels)
    assert all('instance=~"$instance"' in target["expr"] for panel in panels for target in panel["targets"])


def _grouped(query: str) -> list[str]:
    groups = re.findall(r"\bby \(([^)]*)\)", query) + re.findall(r"label_values\([^,]*,([^)]*)\)", query)
    return [label.strip() for group in groups for label in group.split(",") if label.strip() != "le"]
