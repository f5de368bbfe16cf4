"""deploy/: rendered by Kustomize, validated against the schemas of Kubernetes, and consistent with the service."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from service.batch.command import add_commands
from service.metrics import PATHS
from service.settings import read_settings
from service.stitching.result import MOST_IMAGES

ROOT = Path(__file__).parents[2]
OVERLAYS = ("base", "overlays/gpu", "overlays/jobs")

# KEDA's ScaledObject is a custom resource, so Kubernetes has no schema of it: the part of it that is used here.
SCALED_OBJECT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["scaleTargetRef", "minReplicaCount", "maxReplicaCount", "triggers"],
    "properties": {
        "scaleTargetRef": {"type": "object", "required": ["name"], "additionalProperties": False,
                           "properties": {"name": {"type": "string"}}},
        "minReplicaCount": {"type": "integer", "minimum": 1},
        "maxReplicaCount": {"type": "integer", "minimum": 1},
        "pollingInterval": {"type": "integer", "minimum": 1},
        "fallback": {"type": "object", "additionalProperties": False, "required": ["failureThreshold", "replicas"],
                     "properties": {"failureThreshold": {"type": "integer"}, "replicas": {"type": "integer"}}},
        "advanced": {"type": "object", "additionalProperties": False,
                     "properties": {"horizontalPodAutoscalerConfig": {"type": "object"}}},
        "triggers": {"type": "array", "minItems": 1, "items": {
            "type": "object", "additionalProperties": False, "required": ["type", "metadata"],
            "properties": {"type": {"const": "prometheus"}, "metricType": {"enum": ["AverageValue", "Value"]},
                           "metadata": {"type": "object", "additionalProperties": {"type": "string"},
                                        "required": ["serverAddress", "query", "threshold"]}}}},
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=OVERLAYS)
def resources(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Everything of one overlay, as kubectl would apply it."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        if os.environ.get("POLYVIEW_REQUIRE_ALL") == "1":
            pytest.fail("kubectl, which renders deploy/kubernetes, is not installed")
        pytest.skip("kubectl is not installed")
    folder = ROOT / "deploy" / "kubernetes" / request.param
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def one(resources: list[dict[str, Any]], kind: str, name: str = "polyview") -> dict[str, Any]:
    (found,) = (item for item in resources if item["kind"] == kind and item["metadata"]["name"] == name)
    return found


def container(resources: list[dict[str, Any]]) -> dict[str, Any]:
    return one(resources, "Deployment")["spec"]["template"]["spec"]["containers"][0]


def test_every_resource_is_valid(resources: list[dict[str, Any]]) -> None:
    for resource in resources:
        if resource["kind"] != "ScaledObject":
            kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)
    scaled = one(resources, "ScaledObject")["spec"]
    jsonschema.validate(scaled, SCALED_OBJECT)
    behavior = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "polyview"}
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "polyview"},
        "spec": {"scaleTargetRef": target, "maxReplicas": scaled["maxReplicaCount"], "behavior": behavior},
    }
    kubernetes_validate.validate(autoscaler, kubernetes_validate.latest_version(), strict=True)


def test_selectors_find_the_pods_and_nothing_else(resources: list[dict[str, Any]]) -> None:
    labels = one(resources, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert one(resources, "Deployment")["spec"]["selector"]["matchLabels"].items() <= labels.items()
    for resource in resources:
        if resource["kind"] in ("Service", "PodDisruptionBudget") and resource["metadata"]["name"] == "polyview":
            selector = resource["spec"]["selector"]
            selector = selector.get("matchLabels", selector)
            assert selector, f"{resource['kind']} selects every pod of the namespace"
            assert selector.items() <= labels.items()
    assert one(resources, "ScaledObject")["spec"]["scaleTargetRef"]["name"] == "polyview"
    assert "replicas" not in one(resources, "Deployment")["spec"], "would fight with the autoscaler"


def test_pods_have_no_rights_they_do_not_need(resources: list[dict[str, Any]]) -> None:
    for deployment in (item for item in resources if item["kind"] == "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        for part in pod["containers"]:
            assert part["securityContext"]["readOnlyRootFilesystem"]
            assert part["securityContext"]["allowPrivilegeEscalation"] is False
            assert part["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= set(part["resources"]["limits"])
            assert all(part[probe]["timeoutSeconds"] for probe in ("readinessProbe", "livenessProbe"))


def test_the_deployment_agrees_with_the_service_and_the_image(resources: list[dict[str, Any]]) -> None:
    pod = one(resources, "Deployment")["spec"]["template"]["spec"]
    main = container(resources)
    values = {entry["name"]: entry.get("value", "a:sha256.0011.2233") for entry in main["env"]}
    assert values.pop("POLYVIEW_KEYS")
    settings = read_settings(values)
    assert settings.threads <= int(main["resources"]["limits"]["cpu"])
    assert pod["terminationGracePeriodSeconds"] > settings.door.timeout
    documented = set(re.findall(r"`(POLYVIEW_\w+)`", (ROOT / "docs" / "settings.md").read_text()))
    assert {entry["name"] for entry in main["env"]} <= documented
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in dockerfile
    assert f"EXPOSE {main['ports'][0]['containerPort']}" in dockerfile
    mounted = {mount["mountPath"] for mount in main["volumeMounts"]}
    assert set(re.findall(r"^VOLUME (\S+)", dockerfile, re.MULTILINE)) | {"/tmp"} == mounted
    assert {volume["name"] for volume in pod["volumes"]} == {mount["name"] for mount in main["volumeMounts"]}
    assert all(len(volume) == 2 for volume in pod["volumes"]), "a volume of two kinds"


def test_the_largest_requests_on_all_threads_fit_into_the_memory(resources: list[dict[str, Any]]) -> None:
    main = container(resources)
    settings = read_settings({entry["name"]: entry["value"] for entry in main["env"] if "value" in entry})
    # Of docs/capacity.md: bytes without a request, per pixel of a photograph to stitch, per pixel of the panorama.
    idle, photograph, canvas = 600_000_000, 13, 30
    images = 2 if settings.tiers else MOST_IMAGES
    largest = images * photograph * settings.limits.max_pixels + canvas * settings.max_canvas_pixels
    limit = int(main["resources"]["limits"]["memory"].removesuffix("Gi")) << 30
    assert idle + (settings.at_once + settings.jobs.threads) * largest <= limit


def test_the_autoscaler_asks_for_a_metric_that_exists(resources: list[dict[str, Any]]) -> None:
    (trigger,) = one(resources, "ScaledObject")["spec"]["triggers"]
    (metric,) = re.findall(r"\b(bentoml_\w+)\{", trigger["metadata"]["query"])
    assert f'"{metric}"' in (ROOT / "service" / "metrics.py").read_text()
    (counted,) = re.findall(r'endpoint=~"([^"]+)"', trigger["metadata"]["query"])
    assert {path for path in PATHS if re.fullmatch(counted, path)} == {"/v1/perceive", "/v1/stitch"}
    threads = int({entry["name"]: entry.get("value") for entry in container(resources)["env"]}["POLYVIEW_THREADS"])
    assert 1 <= float(trigger["metadata"]["threshold"]) < threads, "scales only when replicas are overloaded already"


def test_the_ray_job_runs_a_command_that_exists() -> None:
    import argparse

    job = yaml.safe_load((ROOT / "deploy" / "ray" / "rayjob.yaml").read_text())
    words = job["spec"]["entrypoint"].split()
    assert words[:3] == ["python", "-m", "service"]
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers(dest="command"))
    options = parser.parse_args(words[3:])
    assert options.engine == "ray"
    cluster = job["spec"]["rayClusterSpec"]
    (locked,) = re.findall(r"^ray\[data\]==(\S+)", (ROOT / "requirements" / "batch.txt").read_text(), re.MULTILINE)
    assert cluster["rayVersion"] == locked
    (group,) = cluster["workerGroupSpecs"]
    cpus = group["maxReplicas"] * int(group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    assert options.workers[1] <= cpus
