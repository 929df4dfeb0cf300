"""The paths of ARCHITECTURE.md are walked with AWS's SDK and an MQTT client: each function that they name is called."""

import re
import sys
from pathlib import Path

from tests.support.clients.aws import Live, allow, policy
from tests.support.devices.live_devices import GENEROUS, Credentials, device, device_policy, new_credentials, new_fleet
from tests.support.services import called_functions
from tests.support.services.service import running_service

ARCHITECTURE = Path(__file__).parents[2] / "ARCHITECTURE.md"
STEP = re.compile(r"`([\w/]+\.py:[\w.]+)`")
# The engine that this test does not use.
NOT_WALKED = {
    "storage/postgresql/store.py:PostgreSQLStore.write",
    "storage/postgresql/listener.py:PostgreSQLListener",
}


def named_in_paths() -> set[str]:
    """Return what the sections about the paths name."""
    document = ARCHITECTURE.read_text()
    begin, end = document.index("## A request over HTTPS"), document.index("## Where a change belongs")
    return set(STEP.findall(document[begin:end]))


def test_each_function_that_the_paths_name_is_called(tmp_path: Path) -> None:
    called_file = tmp_path / "called"
    before = (sys.executable, called_functions.__file__, str(called_file))
    with running_service(tmp_path / "data", before=before) as service:
        live = Live(service, None)
        iot = live.client()
        service.closers.append(iot.close)
        create_over_mqtt(live, iot.create_provisioning_claim(templateName=new_fleet(iot).template), tmp_path)
        open_a_web_socket(live, tmp_path)
        revoke_while_connected(live, new_credentials(iot, device_policy(("iot:Connect", "*"))), tmp_path)
        service.close_clients()
        assert service.terminate() == 0
    called = set(called_file.read_text().splitlines())
    named = named_in_paths()
    assert named >= NOT_WALKED
    # A class is named for all that it does.
    classes = {name.rpartition(".")[0] for name in called}
    assert sorted(named - called - classes - NOT_WALKED) == []
    assert len(named) > 50


def create_over_mqtt(live: Live, claim: dict[str, str | dict[str, str]], folder: Path) -> None:
    key_pair = claim["keyPair"]
    assert isinstance(key_pair, dict)
    shown = Credentials(str(claim["certificateId"]), str(claim["certificatePem"]), key_pair["PrivateKey"])
    with device(live, shown, folder, "claims") as claiming:
        created = claiming.request("$aws/certificates/create/json", {})
        assert created["certificateOwnershipToken"]


def open_a_web_socket(live: Live, folder: Path) -> None:
    key = live.create_access_key(policy(allow("iot:*")))
    with device(live, key, folder, "page") as page:
        live.thingmint("access-key", "delete", key.access_key_id)
        page.disconnected.get(timeout=GENEROUS)


def revoke_while_connected(live: Live, credentials: Credentials, folder: Path) -> None:
    iot = live.client()
    try:
        with (
            device(live, new_credentials(iot), folder, "hears") as hears,
            device(live, credentials, folder, "revoked") as connected,
        ):
            assert hears.subscribe("$aws/events/presence/disconnected/revoked")
            iot.create_policy(policyName="one-more", policyDocument=device_policy(("iot:Publish", "topic/one")))
            iot.attach_policy(policyName="one-more", target=credentials.arn)
            connected.wait_until_published("one")
            iot.update_certificate(certificateId=credentials.certificate_id, newStatus="REVOKED")
            connected.disconnected.get(timeout=GENEROUS)
            assert hears.hear().topic == "$aws/events/presence/disconnected/revoked"
    finally:
        iot.close()
