"""Clients are seen and disconnected by their exact ids, which devices choose."""

import urllib.parse
from pathlib import Path

import pytest
from tests.support.clients.aws import IoT, Live, allow, policy
from tests.support.console.console_pages import Pages
from tests.support.devices.live_devices import Device, device, new_credentials, unique

from thingmint.console.visit import PAGE_SIZE

# Each of these is another client than "pump-7".
ODD = (" pump-7", "pump-7 ", "\tpump-7", "pump-7\x0b", "pump+7", "pump%207", "pump&id=pump-7", "pump-7\u00a0")


@pytest.mark.parametrize("client_id", ODD)
def test_the_client_that_was_chosen_is_disconnected_and_no_other(
    live: Live, iot: IoT, tmp_path: Path, client_id: str
) -> None:
    pages = Pages(live).sign_in(live.administrator)
    credentials = new_credentials(iot)
    with device(live, credentials, tmp_path, client_id) as odd, device(live, credentials, tmp_path, "pump-7") as usual:
        listed = pages.get("/devices").text
        links = [link.partition('"')[0] for link in listed.split('href="/console/devices/client?id=')[1:]]
        (link,) = [each for each in links if urllib.parse.unquote_plus(each.replace("&amp;", "&")) == client_id]
        shown = pages.get(f"/devices/client?id={link}")
        assert "connectedSince" in shown.text
        (action,) = {part.partition('"')[0] for part in shown.text.split('action="/console')[1:] if "client?id" in part}
        answer = pages.post(action, None, do="disconnect")
        assert answer.status == 303
        odd.disconnected.get(timeout=30)
        assert is_connected(usual)


def is_connected(client: Device) -> bool:
    return client.subscribe(unique("still-here"))


def test_pages_of_connections_go_on_after_any_client_id(live: Live, iot: IoT, tmp_path: Path) -> None:
    pages = Pages(live).sign_in(live.administrator)
    credentials, prefix = new_credentials(iot), unique("many")
    names = [f"{prefix}-{number:03}\t " for number in range(PAGE_SIZE + 2)]
    devices = [device(live, credentials, tmp_path, name) for name in names]
    for each in devices:
        each.__enter__()
    try:
        first = pages.get(f"/devices?client={prefix}").text
        after = first.split('name="after" value="')[1].partition('"')[0]
        second = pages.get(f"/devices?client={prefix}&after={urllib.parse.quote(after)}").text
    finally:
        for each in devices:
            each.__exit__(None, None, None)
    assert first.count("/console/devices/client?id=") == PAGE_SIZE
    assert second.count("/console/devices/client?id=") == 2
    assert pages.get("/devices?after=zz").status == 400


def test_a_client_with_an_access_key_is_shown_with_it(live: Live, tmp_path: Path) -> None:
    pages, key = Pages(live).sign_in(live.administrator), live.create_access_key(policy(allow("iot:Connect")))
    with device(live, key, tmp_path, unique("dashboard")) as dashboard:
        assert dashboard.publish("a", b"") == "Not authorized"
        listed = pages.get("/devices").text
        # Once for the connection, and once for the refusal.
        assert listed.count(f'<td class="code">{key.access_key_id}</td>') == 2
        assert f"/console/certificates/{key.access_key_id}" not in listed
