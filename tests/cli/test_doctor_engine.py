"""What `doctor` says of the engine behind the database's URL, and how its findings fit a terminal."""

import pytest

from thingmint.cli.doctor import lines_of_findings
from thingmint.service.findings import Finding, Verdict
from thingmint.service.nodes.findings import engine_finding


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


def test_findings_fit_a_terminal_and_have_one_line_each_in_a_pipe() -> None:
    path = f"/var/lib/thingmint/keys/{'0123456789abcdef' * 4}.key"
    findings = [
        Finding(Verdict.WARNING, f"{path} is not sealed: `thingmint seal` seals it by a passphrase"),
        Finding(Verdict.OK, "1024 MiB are free"),
    ]
    assert list(lines_of_findings(findings, None)) == [f"warning  {findings[0].text}", "ok       1024 MiB are free"]
    *wrapped, last = lines_of_findings(findings, 80)
    assert max(map(len, wrapped)) <= 80
    assert wrapped[0].startswith("warning  /var")
    assert all(line.startswith(" " * 9) for line in wrapped[1:])
    assert "".join(line[9:].replace(" ", "") for line in wrapped) == findings[0].text.replace(" ", "")
    assert last == "ok       1024 MiB are free"
