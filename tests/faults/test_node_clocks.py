"""Three nodes on one database, one of them with a clock that is ten minutes off: it harms nobody, and says so."""

import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from tests.faults.test_clock_jumps import TurnedService, everything_turned_by, turned_by
from tests.faults.test_shared_database import copy_keys
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.aws import AccessKey, IoT, Live
from tests.support.databases.database import tables_of
from tests.support.devices.live_devices import Credentials, is_admitted, new_credentials, new_fleet
from tests.support.services.forked import run_thingmint
from tests.support.services.nodes import eventually
from tests.support.services.service import running_service

from thingmint.records.columns import time_of_column

POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
WRONG = pytest.mark.parametrize("wrong", [timedelta(minutes=10), timedelta(minutes=-10)], ids=["ahead", "behind"])


def client_of(live: Live, key: AccessKey | None = None) -> IoT:
    iot: IoT = live.client(key, retries={"total_max_attempts": 1})
    live.service.closers.append(iot.close)
    return iot


def page(live: Live, path: str) -> tuple[int, str]:
    context = ssl.create_default_context(cafile=str(live.ca_file))
    try:
        with urllib.request.urlopen(live.service.endpoints.api + path, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def skew_told_by(live: Live) -> float:
    found = re.search(r"^thingmint_clock_skew_seconds (\S+)$", page(live, "/metrics")[1], re.MULTILINE)
    assert found is not None
    return float(found[1])


def claim_of(iot: IoT, template: str) -> Credentials:
    made = iot.create_provisioning_claim(templateName=template)
    return Credentials(made["certificateId"], made["certificatePem"], made["keyPair"]["PrivateKey"])


@contextmanager
def three_nodes(tmp_path: Path, url: str, clock_file: Path) -> Iterator[tuple[Live, Live, Live]]:
    """Yield nodes; the clock of the last is off by what the file says."""
    options = ("--database-url", url)
    with running_service(tmp_path / "one", *options, key_reserve=1) as one:
        for name in ("two", "three"):
            copy_keys(one.data_dir, tmp_path / name)
        with running_service(tmp_path / "two", *options, key_reserve=1) as two:
            environment = turned_by(clock_file)
            with running_service(tmp_path / "three", *options, environment=environment, key_reserve=1) as three:
                yield Live(one, url), Live(two, url), Live(three, url)


@WRONG
def test_a_node_with_a_wrong_clock_serves_by_the_right_time_and_leaves_to_others_what_needs_a_clock(
    tmp_path: Path,
    migrated_postgresql_url: str,
    wrong: timedelta,
) -> None:
    clock_file = tmp_path / "clock"
    clock_file.write_text("+0")
    with three_nodes(tmp_path, migrated_postgresql_url, clock_file) as (right, other, off):
        turned = TurnedService(off.service, clock_file)
        fleet = new_fleet(client_of(right))
        brief = right.create_access_key(POLICY, "--expires-in", "300")
        claim, device = claim_of(client_of(right), fleet.template), new_credentials(client_of(right))
        assert (page(off, "/readyz")[0], abs(skew_told_by(off)) < 5) == (200, True)

        turned.turn(wrong)
        assert page(off, "/readyz")[0] == 503
        assert page(off, "/readyz/devices")[0] == 200
        assert [page(node, "/readyz")[0] for node in (right, other)] == [200, 200]
        eventually(lambda: skew_told_by(off), lambda skew: abs(skew - wrong.total_seconds()) <= 5)
        assert "the node's clock is wrong" in off.service.log

        # Nobody is refused for the time: SigV4's window, temporary credentials, certificates, claims.
        for key in (None, brief):
            iot = client_of(off, key=key)
            iot.create_thing(thingName="made-by-the-node")
            assert iot.describe_certificate(certificateId=device.certificate_id)["certificateDescription"]
        for node in (right, other, off):
            assert is_admitted(node, device, tmp_path)
            assert is_admitted(node, claim, tmp_path)

        iot = client_of(off)
        issuing: tuple[tuple[Callable[..., object], dict[str, str]], ...] = (
            (iot.create_keys_and_certificate, {}),
            (iot.create_certificate_from_csr, {"certificateSigningRequest": csr_pem("p-256")}),
            (iot.create_provisioning_claim, {"templateName": fleet.template}),
        )
        for issue, members in issuing:
            with pytest.raises(ClientError, match="clock of this node") as unavailable:
                issue(**members)
            assert unavailable.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503

        # What the node wrote has the time of all.
        tables = tables_of(off.service.data_dir, migrated_postgresql_url)
        [entry] = [each for each in tables["audit"] if each["action"] == "CreateThing"][:1]
        assert abs(time_of_column(entry["at"]) - datetime.now(UTC)) < timedelta(minutes=5)

        turned.turn(timedelta(0))
        eventually(lambda: page(off, "/readyz")[0], lambda status: status == 200)
        assert is_admitted(right, new_credentials(client_of(off)), tmp_path)
        off.service.wait_for_log("the node's clock agrees")


@WRONG
def test_a_node_that_starts_with_a_wrong_clock_sweeps_nothing(
    tmp_path: Path,
    migrated_postgresql_url: str,
    wrong: timedelta,
) -> None:
    options, clock_file = ("--database-url", migrated_postgresql_url), tmp_path / "clock"
    clock_file.write_text(f"{wrong.total_seconds():+.0f}")
    with running_service(tmp_path / "one", *options, key_reserve=1) as one:
        right = Live(one, migrated_postgresql_url)
        iot = client_of(right)
        fleet = new_fleet(iot)
        claim, brief = claim_of(iot, fleet.template), right.create_access_key(POLICY, "--expires-in", "300")
        unused = iot.create_keys_and_certificate()["certificateId"]
        copy_keys(one.data_dir, tmp_path / "three")
        # The first sweep and the first tidying come with the start.
        with running_service(tmp_path / "three", *options, environment=turned_by(clock_file), key_reserve=1) as three:
            off = Live(three, migrated_postgresql_url)
            assert page(off, "/readyz")[0] == 503
            assert "the node's clock is wrong" in three.log
            assert client_of(off, key=brief).describe_certificate(certificateId=unused)
            assert is_admitted(off, claim, tmp_path)
            doctor = run_thingmint("doctor", *off.database_options, environment=everything_turned_by(clock_file))
            assert doctor.returncode == 1
            side = "ahead of" if wrong > timedelta(0) else "behind"
            said = rf"^wrong +the clock of this machine is \d+\.\d seconds {side} the database's$"
            assert re.search(said, doctor.stdout, re.MULTILINE)
        assert is_admitted(right, claim, tmp_path)
        assert client_of(right, key=brief).describe_endpoint(endpointType="iot:Data-ATS")
