"""Owns how the devices of a run are removed from the registry: theirs alone, and all that can be."""

import threading
import urllib.parse
from collections import Counter, deque
from collections.abc import Callable, Sequence

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable
from thingmint.cli.fleet.api import Api
from thingmint.cli.fleet.device import Device

_CALLERS = 8
_NOT_FOUND = "ResourceNotFoundException"


def remove_devices(api: Api, devices: Sequence[Device], done: Callable[[], None]) -> list[str]:
    """Remove certificates and things of the devices, tell of each, and return what could not be removed and why."""
    waiting = deque(device for device in devices if device.certificate_id is not None)
    troubles: Counter[str] = Counter()
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not waiting:
                    return
                device = waiting.popleft()
            try:
                _remove(api, device)
            except (ServiceRefused, ServiceUnreachable) as error:
                with lock:
                    troubles[str(error)] += 1
            done()

    # Daemons: whoever interrupts the removal does not wait for answers that are under way.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(_CALLERS, len(waiting)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [f"{count} devices: {trouble}" for trouble, count in troubles.items()]


def _remove(api: Api, device: Device) -> None:
    path = f"/certificates/{device.certificate_id}"
    try:
        arn = _arn(api, path)
        thing = None if device.thing_name is None else f"/things/{urllib.parse.quote(device.thing_name, safe='')}"
        if thing is not None:
            api.call("DELETE", f"{thing}/principals", headers={"x-amzn-principal": arn})
        api.call("PUT", path, {"newStatus": "INACTIVE"})
        api.call("DELETE", path, {"forceDelete": "true"})
        # A template may give its devices a thing that was there before: that one is not this run's to delete.
        if thing is not None and device.name in str(device.thing_name):
            api.call("DELETE", thing)
    except ServiceRefused as refusal:
        # Somebody else was faster: what was never activated is swept after an hour.
        if refusal.name != _NOT_FOUND:
            raise


def _arn(api: Api, path: str) -> str:
    description = api.call("GET", path)["certificateDescription"]
    assert isinstance(description, dict)
    return str(description["certificateArn"])
