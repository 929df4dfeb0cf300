"""Kubernetes' manifests and the compose file are what their schemas allow, and name what the service has."""

import json
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import kubernetes_validate
import yaml

from thingmint.rest.pages import PAGES
from thingmint.settings.table import SETTINGS

DEPLOY = Path(__file__).parents[2] / "deploy"
MANIFESTS = DEPLOY / "kubernetes" / "thingmint.yaml"
COMPOSE = DEPLOY / "compose" / "compose.yaml"
VERSIONS = ("1.30", kubernetes_validate.latest_version().rpartition(".")[0])
VARIABLES = {setting.variable for setting in SETTINGS}


def manifests() -> dict[str, list[dict[str, Any]]]:
    """Return the objects by their kind."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in yaml.safe_load_all(MANIFESTS.read_text(encoding="utf-8")):
        found.setdefault(each["kind"], []).append(each)
    return found


def test_kubernetes_accepts_the_manifests() -> None:
    for version in VERSIONS:
        for objects in manifests().values():
            for each in objects:
                assert kubernetes_validate.validate(each, version, strict=True) == version


def test_manifests_name_settings_pages_ports_and_labels_that_exist() -> None:
    found = manifests()
    pod = found["StatefulSet"][0]["spec"]["template"]
    container = pod["spec"]["containers"][0]
    given = set(found["ConfigMap"][0]["data"]) | {each["name"] for each in container["env"]}
    assert given <= VARIABLES
    probes = [container[kind]["httpGet"] for kind in ("livenessProbe", "startupProbe", "readinessProbe")]
    assert {probe["path"].encode() for probe in probes} <= set(PAGES)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    data = found["ConfigMap"][0]["data"]
    assert ports == {"api": int(data["THINGMINT_API"][-4:]), "devices": int(data["THINGMINT_MQTT"][-4:])}
    assert {port["targetPort"] for each in found["Service"] for port in each["spec"]["ports"]} <= set(ports)
    labels = pod["metadata"]["labels"]
    selectors = [each["spec"]["selector"] for each in found["Service"]]
    selectors += [found[kind][0]["spec"]["selector"]["matchLabels"] for kind in ("StatefulSet", "PodDisruptionBudget")]
    selectors.append(found["NetworkPolicy"][0]["spec"]["podSelector"]["matchLabels"])
    assert all(selector.items() <= labels.items() for selector in selectors)
    folders = {each["mountPath"] for each in container["volumeMounts"]}
    written = [value for name, value in data.items() if name.endswith(("_DIR", "_FILE"))]
    assert written
    assert all(str(Path(value).parent) in folders for value in written)


def test_compose_file_is_as_the_compose_specification_says_and_names_settings_that_exist() -> None:
    folder = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"
    schema = json.loads((folder / "compose-spec.json").read_text(encoding="utf-8"))
    compose = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    jsonschema.validate(compose, schema)
    service = compose["services"]["thingmint"]
    assert set(service["environment"]) <= VARIABLES
    assert (COMPOSE.parent / service["build"]["context"] / service["build"]["dockerfile"]).exists()
    broker = compose["services"]["broker"]
    assert (COMPOSE.parent / broker["volumes"][0].partition(":")[0]).exists()
