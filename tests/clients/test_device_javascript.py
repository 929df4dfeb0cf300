"""AWS's device SDK for JavaScript, installed from npm as it is, on a running service."""

from pathlib import Path

from tests.support.clients.aws import IoT, Live
from tests.support.clients.device_javascript import node_with_sdk, run_script
from tests.support.devices.live_devices import live_on_each_data_plane, new_fleet, unique  # noqa: F401  found as `live`

SUCCESS, NO_SUBSCRIBERS, NOT_AUTHORIZED = 0, 0x10, 0x87


def test_the_sdk_takes_a_device_from_its_claim_to_its_own_identity(live: Live, iot: IoT, tmp_path: Path) -> None:
    node, fleet, serial = node_with_sdk(), new_fleet(iot), unique("js")
    certificate, key = fleet.claim.files(tmp_path)
    port = live.service.endpoints.mqtt_port

    told = run_script(node, "fleet.mjs", port, live.ca_file, certificate, key, fleet.template, serial, tmp_path)

    assert isinstance(told, dict)
    assert told["thingName"] == f"device-{serial}"
    allowed, refused = told["told"]
    assert allowed in (SUCCESS, NO_SUBSCRIBERS)
    assert refused == NOT_AUTHORIZED
    described = iot.describe_certificate(certificateId=told["certificateId"])["certificateDescription"]
    assert described["status"] == "ACTIVE"
