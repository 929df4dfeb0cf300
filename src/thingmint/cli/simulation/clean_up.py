"""Owns the removal of a run's devices from the registry. Removes no other resources."""

import threading
import urllib.parse
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable
from thingmint.cli.simulation.api import Api
from thingmint.cli.simulation.clients.device import SimulatedDevice
from thingmint.cli.simulation.preparation import remove_certificate
from thingmint.core.error_text import in_words

_CALLERS = 8
_PRINCIPAL = "x-amzn-principal"


def remove_devices(api: Api, devices: Sequence[SimulatedDevice], done: Callable[[], None]) -> list[str]:
    """Remove certificates and things of the devices, call ``done`` for each, and return failures with their reasons."""
    held = [device for device in devices if device.certificate_id is not None]
    # Devices whose registration was interrupted come last, because it may still be in progress.
    waiting = deque(sorted(held, key=lambda device: not device.is_registered))
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
                    troubles[in_words(error)] += 1
            done()

    # Daemon threads, so that an interrupted removal does not wait for outstanding answers.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(_CALLERS, len(waiting)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [f"{count} devices: {trouble}" for trouble, count in troubles.items()]


def _remove(api: Api, device: SimulatedDevice) -> None:
    path = f"/certificates/{device.certificate_id}"
    arn = _arn(api, path)
    things = [device.thing_name] if device.thing_name is not None else _things(api, arn)
    for former in (f"/certificates/{each}" for each in device.former_ids):
        _remove_certificate(api, former, _arn(api, former), things)
    _remove_certificate(api, path, arn, things)
    for thing in things:
        # A template may attach an older thing to its devices, which this run must not delete.
        if device.name in thing:
            _ensure_gone(api, _path(thing))


def _remove_certificate(api: Api, path: str, arn: str | None, things: Sequence[str]) -> None:
    if arn is not None:
        for thing in things:
            _ensure_gone(api, f"{_path(thing)}/principals", arn)
        with _gone_is_well():
            remove_certificate(api, path)


def _things(api: Api, arn: str | None) -> list[str]:
    """Return the things of a device that was interrupted before it got the answer."""
    if arn is None:
        return []
    found = api.call("GET", "/principals/things", headers={_PRINCIPAL: arn}).get("things")
    return [str(thing) for thing in found] if isinstance(found, list) else []


def _arn(api: Api, path: str) -> str | None:
    """Return the certificate's ARN; None if it is deleted, as unactivated certificates are after an hour."""
    try:
        description = api.call("GET", path)["certificateDescription"]
    except ServiceRefused as refusal:
        if not refusal.is_not_found:
            raise
        return None
    assert isinstance(description, dict)
    return str(description["certificateArn"])


def _ensure_gone(api: Api, path: str, principal: str | None = None) -> None:
    with _gone_is_well():
        api.call("DELETE", path, headers=None if principal is None else {_PRINCIPAL: principal})


@contextmanager
def _gone_is_well() -> Iterator[None]:
    try:
        yield
    except ServiceRefused as refusal:
        if not refusal.is_not_found:
            raise


def _path(thing: str) -> str:
    return f"/things/{urllib.parse.quote(thing, safe='')}"
