"""The metrics of several workers are one page that Prometheus reads, with the worker as a label."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from thingmint.public.merged_metrics import merged


def page_of(count: int, *, has_gauge: bool) -> bytes:
    registry = CollectorRegistry()
    Counter("requests", "Requests {all of them}.", ("name",), registry=registry).labels('a "b" {c} d\n').inc(count)
    Histogram("seconds", "Time.", buckets=(0.1, 1.0), registry=registry).observe(count)
    if has_gauge:
        Gauge("open", "Open.", registry=registry).set(count)
    return generate_latest(registry)


def test_samples_of_all_workers_stand_in_one_group_for_each_metric() -> None:
    page = merged({2: page_of(5, has_gauge=True), 1: page_of(3, has_gauge=False)}).decode()
    assert page.count("# TYPE requests_total counter\n") == 1
    assert page.count("# HELP requests_total Requests {all of them}.\n") == 1
    families = {each.name: each for each in text_string_to_metric_families(page)}
    assert families["open"].type == "gauge"
    assert [(each.labels, each.value) for each in families["open"].samples] == [({"worker": "2"}, 5.0)]
    requests = [each for each in families["requests"].samples if each.name == "requests_total"]
    assert [(each.labels, each.value) for each in requests] == [
        ({"worker": number, "name": 'a "b" {c} d\n'}, value) for number, value in (("1", 3.0), ("2", 5.0))
    ]
    buckets = [each for each in families["seconds"].samples if each.name == "seconds_bucket"]
    assert [(each.labels["worker"], each.labels["le"]) for each in buckets] == [
        (worker, le) for worker in "12" for le in ("0.1", "1.0", "+Inf")
    ]
