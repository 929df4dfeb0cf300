"""Alert rules and dashboard of `deploy/monitoring`: Prometheus accepts them, and every metric in them exists."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import yaml
from tests.support.machine.required import required_program

from thingmint import __version__
from thingmint.host.telemetry import Metrics
from thingmint.mqtt.metrics import BrokerMetrics
from thingmint.public.metrics import RevocationMetrics

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring"
ALERTS, DASHBOARD = FOLDER / "alerts.yaml", FOLDER / "grafana-dashboard.json"


def expressions() -> Iterator[str]:
    """Yield what the dashboard asks Prometheus for, with values in place of Grafana's variables."""
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")


def existing_names() -> set[str]:
    """Return the names of all metrics as they are on the page /metrics, whether or not there is a value yet."""
    metrics = Metrics(__version__)
    BrokerMetrics(metrics.registry)
    RevocationMetrics(metrics.registry)
    names = set()
    for family in metrics.registry.collect():
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
        names |= {family.name + ending for ending in endings.get(family.type, ("",))}
    return names


def used_names(text: str) -> set[str]:
    return set(re.findall(r"\bthingmint_\w+", text))


def promtool(*arguments: str) -> str:
    command = (required_program("promtool"), *arguments)
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=FOLDER)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_every_metric_of_alerts_and_dashboard_exists() -> None:
    names = existing_names()
    assert used_names(ALERTS.read_text(encoding="utf-8")) - names == set()
    asked = used_names("\n".join(expressions()))
    assert asked - names == set()
    assert len(asked) >= 30


def test_prometheus_accepts_the_alerts_and_they_fire_as_described() -> None:
    assert "16 rules found" in promtool("check", "rules", ALERTS.name)
    assert "SUCCESS" in promtool("test", "rules", "alerts-test.yaml")
    alerts = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]
    assert all(set(alert["annotations"]) == {"summary", "description"} for alert in alerts)
    tests = yaml.safe_load((FOLDER / "alerts-test.yaml").read_text(encoding="utf-8"))["tests"]
    fired = {each["alertname"] for test in tests for each in test["alert_rule_test"] if each["exp_alerts"]}
    assert fired == {alert["alert"] for alert in alerts}


def test_prometheus_accepts_the_expressions_of_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(expressions())]
    file = tmp_path / "dashboard.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(file))
