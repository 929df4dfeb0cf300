"""Owns the figure of a factory: devices of a list, with things and policies, against certificates alone."""

import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench import service
from bench.machine import ForeignLoad
from bench.measurement import Bound, Measurement, Skipped, Target, ratios
from bench.plan import Run, rotated
from thingmint.cli.connection import SignedClient, find_connection

FIGURE, TITLE = "issue-list", "devices of a list ÷ certificates alone, `thingmint issue`"
_DOCUMENT = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}]}
)
_PLAIN, _LIST = "plain", "list"


def measure(run: Run) -> list[Measurement | Skipped]:
    """Run both commands in turns against one service, start and end of the process included."""
    rates: dict[tuple[str, str], list[float]] = {}
    folders = itertools.count()
    with service.running(run.directory / "factory", "--key-reserve", "0") as ours:
        client = SignedClient(find_connection(ours.data_directory, {}, is_named=True))
        client.call("POST", "/policies/fleet", {}, {"policyDocument": _DOCUMENT})
        client.call("POST", "/thing-types/sensor", {}, {})
        client.call("POST", "/thing-groups/hall", {}, {})
        client.close()
        foreign = ForeignLoad()
        for round_number in range(run.plan.issue_rounds):
            for key_type in ("rsa-2048", "ec-p256"):
                for side in rotated([_PLAIN, _LIST], round_number):
                    folder = run.directory / f"issue-{next(folders)}"
                    seconds = _issue(ours.data_directory, folder, side, key_type, run.plan.issue_rows)
                    rates.setdefault((key_type, side), []).append(run.plan.issue_rows / seconds)
        share = foreign.share()
    rounds = ratios(rates["rsa-2048", _LIST], rates["rsa-2048", _PLAIN])
    count = run.plan.issue_rows * run.plan.issue_rounds
    on_curve = ratios(rates["ec-p256", _LIST], rates["ec-p256", _PLAIN])
    return [
        Measurement(
            figure=FIGURE,
            title=TITLE,
            value=sum(rates["rsa-2048", _LIST]) / sum(rates["rsa-2048", _PLAIN]),
            unit="×",
            target=Target(Bound.AT_LEAST, 0.9),
            rounds=rounds,
            n=f"{len(rounds)} rounds, {count} devices and {count} certificates of each type of key",
            sides="both: keys made by the command, RSA-2048, written durably, HTTPS and SigV4, whole processes; list: "
            "also thing with attributes, type, group and policy, all in one transaction, and a journal",
            parts={
                "list_per_s": statistics.median(rates["rsa-2048", _LIST]),
                "plain_per_s": statistics.median(rates["rsa-2048", _PLAIN]),
                "ec_p256_ratio": statistics.median(on_curve),
                "ec_p256_list_per_s": statistics.median(rates["ec-p256", _LIST]),
                "ec_p256_plain_per_s": statistics.median(rates["ec-p256", _PLAIN]),
            },
            foreign_share=share,
        )
    ]


def _issue(data_directory: Path, folder: Path, side: str, key_type: str, count: int) -> float:
    """Return how many seconds the command took."""
    program = str(Path(sys.executable).with_name("thingmint"))
    given = ["--count", str(count)]
    if side == _LIST:
        rows = [f"{folder.name}-{number},sensor,hall,fleet,berlin,{number}" for number in range(count)]
        listed = folder.with_suffix(".csv")
        listed.write_text("\n".join(["thing,type,groups,policy,attribute.site,attribute.number", *rows, ""]))
        given = ["--from", str(listed)]
    command = [program, "issue", "--data-dir", str(data_directory), "--out", str(folder), "--active"]
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "THINGMINT_"))}
    began = time.perf_counter()
    subprocess.run([*command, "--key-type", key_type, *given], env=own, check=True, capture_output=True)
    return time.perf_counter() - began
