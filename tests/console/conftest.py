"""Owns the service, the browser and the access keys of the three roles that the console is tried with."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, StorageState, ViewportSize
from tests.support.clients.aws import AccessKey, IoT, Live
from tests.support.console.browser import NOTHING, READER, Tab, axe_source, chromium, signed_in, tab_of
from tests.support.devices.live_devices import ROLE, Credentials, new_credentials
from tests.support.services.service import running_service

EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
WIDE, NARROW = ViewportSize(width=1280, height=720), ViewportSize(width=320, height=640)
HOSTILE = "\"'><img src=x data-xss onerror=window.xss=1><script>window.xss=1</script>"


@dataclass(frozen=True)
class Filled:
    """What the registry holds before the pages are looked at."""

    certificate_id: str
    credentials: Credentials
    thing: str = "sensor-17"
    group: str = "sensors"
    policy: str = "sensor-policy"
    template: str = "sensor-template"


@pytest.fixture(scope="session", autouse=True)
def _nobody_elses_settings() -> Iterator[None]:
    """Keep the developer's own AWS settings away from clients."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The session's service."""
    folder = tmp_path_factory.mktemp("console")
    with running_service(folder / "data") as service:
        yield Live(service, None)
    failures = [line for line in service.log.splitlines() if "failed" in line]
    assert failures == []


@pytest.fixture(scope="module")
def browser(states: dict[str, StorageState], other_account: str) -> Iterator[Browser]:
    """The module's browser, in which each test has a profile of its own.

    Playwright keeps an event loop in this thread: a module that asks for a browser cannot have asynchronous tests, and
    access keys, whose command runs a loop in this thread, are created before it.
    """
    del states, other_account
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="session")
def axe() -> str:
    """The script that judges pages."""
    return axe_source()


@pytest.fixture(scope="session")
def iot(live: Live) -> Iterator[IoT]:
    """A client of the API with the administrator's key."""
    client = live.client()
    yield client
    client.close()


@pytest.fixture(scope="session")
def reader(live: Live) -> AccessKey:
    """A key that may look at everything."""
    return live.create_access_key(READER, "--user", "reader")


@pytest.fixture(scope="session")
def nobody(live: Live) -> AccessKey:
    """A key that may do nothing that a page shows."""
    return live.create_access_key(NOTHING, "--user", "nobody")


@pytest.fixture(scope="session")
def other_account(live: Live) -> str:
    """Another account that is known to the service."""
    live.create_access_key(READER, "--account", "111111111111")
    return "111111111111"


@pytest.fixture(scope="session")
def filled(iot: IoT) -> Filled:
    """A registry in which every page has something to show."""
    body = {
        "Parameters": {"Serial": {"Type": "String"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Serial"}}},
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
            },
        },
    }
    credentials = new_credentials(iot, None)
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
    certificate_id = credentials.arn.rpartition("/")[2]
    filled = Filled(certificate_id, credentials)
    iot.create_policy(policyName=filled.policy, policyDocument=json.dumps(document))
    iot.attach_policy(policyName=filled.policy, target=credentials.arn)
    iot.create_thing(thingName=filled.thing, attributePayload={"attributes": {"line": "7"}})
    iot.attach_thing_principal(thingName=filled.thing, principal=credentials.arn)
    iot.create_thing_group(
        thingGroupName=filled.group, thingGroupProperties={"thingGroupDescription": HOSTILE.replace("'", "")}
    )
    iot.add_thing_to_thing_group(thingName=filled.thing, thingGroupName=filled.group)
    iot.create_provisioning_template(
        templateName=filled.template, templateBody=json.dumps(body), provisioningRoleArn=ROLE, enabled=True
    )
    return filled


@pytest.fixture(scope="session")
def states(live: Live, reader: AccessKey, nobody: AccessKey) -> dict[str, StorageState]:
    """The cookies of each role, signed in once."""
    # A key has a bounded number of sessions: the one of the first start has those of other tests.
    keys = {"administrator": live.create_access_key(EVERYTHING, "--user", "owner"), "reader": reader, "nobody": nobody}
    return {role: signed_in(live, key) for role, key in keys.items()}


@pytest.fixture(scope="module")
def shared_tab(browser: Browser, live: Live, states: dict[str, StorageState]) -> Iterator[Tab]:
    """The administrator's tab of the module. A tab and its first page cost as much time as six further pages."""
    with tab_of(browser, live, storage_state=states["administrator"]) as tab:
        yield tab


@pytest.fixture
def administrator(shared_tab: Tab, filled: Filled) -> Iterator[Tab]:
    """The administrator's tab, light and wide. Nothing may have complained when its test ends.

    A test that changes what a profile keeps (cookies, the theme) needs a profile of its own.
    """
    del filled
    shared_tab.complaints.clear()
    shared_tab.page.set_viewport_size(WIDE)
    shared_tab.page.emulate_media(color_scheme="light")
    yield shared_tab
    assert shared_tab.complaints == []
