"""What `doctor` says of the engine behind the database's URL."""

import pytest

from thingmint.cli.doctor import engine_finding
from thingmint.service.findings import Verdict


@pytest.mark.parametrize(
    ("version", "name", "verdict"),
    [
        (
            "PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc",
            "PostgreSQL 15.18 (Debian 15.18-0+deb12u1)",
            Verdict.OK,
        ),
        ("PostgreSQL 17.2 on aarch64-unknown-linux-gnu, compiled by gcc", "PostgreSQL 17.2", Verdict.OK),
        ("PostgreSQL 15.2-YB-2.25.0.0-b0 on x86_64-pc-linux-gnu", "PostgreSQL 15.2-YB-2.25.0.0-b0", Verdict.WARNING),
        ("CockroachDB CCL v24.1.0 (x86_64-pc-linux-gnu, built 2024)", "CockroachDB CCL v24.1.0", Verdict.WARNING),
    ],
)
def test_engine_is_named_and_others_than_postgresql_are_warned_of(version: str, name: str, verdict: Verdict) -> None:
    finding = engine_finding(version)
    assert name in finding.text
    assert finding.verdict is verdict
