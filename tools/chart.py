"""The Helm chart's objects: `python -m tools.chart FOLDER` writes them for the linters."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helm_python import Chart
from ruamel.yaml import YAML

CHART = Path(__file__).parents[1] / "infra" / "kubernetes"


def rendered(**values: Any) -> list[dict[str, Any]]:
    """The chart's objects, by Helm."""
    chart = Chart.load(str(CHART))
    given = {"image": {"repository": "registry.example.com/mtl", "digest": f"sha256:{'0' * 64}"}, **values}
    texts = chart.render(given, name="mtl", namespace="retraining").values()
    return [found for text in texts for found in YAML(typ="safe").load_all(text) if found]


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod's specification, by the name of what makes it."""
    for found in objects:
        if found["kind"] == "Deployment":
            yield found["metadata"]["name"], found["spec"]["template"]["spec"]
        elif found["kind"] == "RayCluster":
            yield "ray head", found["spec"]["headGroupSpec"]["template"]["spec"]
            for group in found["spec"]["workerGroupSpecs"]:
                yield "ray workers", group["template"]["spec"]


def write(objects: list[dict[str, Any]], folder: Path) -> None:
    """A file per object; a RayCluster is an operator's own kind, but its pods are of the usual one."""
    for i, found in enumerate(objects):
        if found["kind"] != "RayCluster":
            (folder / f"{i}.json").write_text(json.dumps(found))
            continue
        for j, (_, pod) in enumerate(pods([found])):
            probes = {f"checkov.io/skip{i}": f"CKV_K8S_{number}=KubeRay adds its own" for i, number in ((1, 8), (2, 9))}
            named = {"name": f"ray-{j}", "namespace": found["metadata"]["namespace"], "annotations": probes}
            made = {"apiVersion": "v1", "kind": "Pod", "metadata": named, "spec": pod}
            (folder / f"{i}-{j}.json").write_text(json.dumps(made))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    write(rendered(), target)
