"""Owns the table of pages: method, path and function. Every page requires a session and permissions."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.responses import Response

from thingmint.console.pages import (
    audit,
    authorities,
    certificate_actions,
    certificates,
    creating,
    devices,
    fleets,
    groups,
    nodes,
    overview,
    policies,
    settings,
    things,
)
from thingmint.console.visit import Visit


class PageOf(NamedTuple):
    """One line of the table."""

    method: str
    path: str
    page: Callable[[Visit], Awaitable[Response]]


PAGES: tuple[PageOf, ...] = (
    PageOf("GET", "/console", overview.show),
    PageOf("GET", "/console/", overview.show),
    PageOf("GET", "/console/overview/events", overview.events),
    PageOf("GET", "/console/certificates", certificates.search),
    PageOf("POST", "/console/certificates/bulk", certificate_actions.confirm_selection),
    PageOf("POST", "/console/certificates/bulk/step", certificate_actions.bulk_step),
    PageOf("GET", "/console/certificates/{certificate}", certificates.show),
    PageOf("POST", "/console/certificates/{certificate}/attach", certificate_actions.attach),
    PageOf("POST", "/console/certificates/{certificate}/detach", certificate_actions.detach),
    PageOf("GET", "/console/certificates/{certificate}/proof", certificates.proofs),
    PageOf("GET", "/console/certificates/{certificate}/{action}", certificate_actions.confirm),
    PageOf("POST", "/console/certificates/{certificate}/{action}", certificate_actions.act),
    PageOf("GET", "/console/create", creating.show),
    PageOf("POST", "/console/create/keys", creating.with_keys),
    PageOf("POST", "/console/create/read", creating.read_request),
    PageOf("POST", "/console/create/sign", creating.sign_request),
    PageOf("POST", "/console/create/download", creating.download),
    PageOf("GET", "/console/things", things.browse),
    PageOf("POST", "/console/things", things.create),
    PageOf("GET", "/console/things/{thing}", things.show),
    PageOf("POST", "/console/things/{thing}", things.change),
    PageOf("GET", "/console/groups", groups.browse),
    PageOf("POST", "/console/groups", groups.create),
    PageOf("GET", "/console/groups/{group}", groups.show),
    PageOf("POST", "/console/groups/{group}", groups.change),
    PageOf("GET", "/console/policies", policies.browse),
    PageOf("POST", "/console/policies", policies.create),
    PageOf("POST", "/console/policies/check", policies.check),
    PageOf("GET", "/console/policies/{policy}", policies.show),
    PageOf("POST", "/console/policies/{policy}", policies.change),
    PageOf("GET", "/console/simulator", policies.simulator),
    PageOf("POST", "/console/simulator", policies.simulate),
    PageOf("GET", "/console/fleets", fleets.browse),
    PageOf("POST", "/console/fleets", fleets.create),
    PageOf("POST", "/console/fleets/tasks", fleets.start_task),
    PageOf("GET", "/console/fleets/tasks/{task}", fleets.show_task),
    PageOf("POST", "/console/fleets/tasks/{task}/stop", fleets.stop_task),
    PageOf("GET", "/console/fleets/{template}", fleets.show),
    PageOf("POST", "/console/fleets/{template}", fleets.change),
    PageOf("POST", "/console/fleets/{template}/preview", fleets.preview),
    PageOf("GET", "/console/devices", devices.browse),
    PageOf("GET", "/console/devices/client", devices.show),
    PageOf("POST", "/console/devices/client", devices.act),
    PageOf("GET", "/console/devices/watch", devices.watch),
    PageOf("GET", "/console/devices/watch/events", devices.watched),
    PageOf("GET", "/console/authorities", authorities.show),
    PageOf("GET", "/console/authorities/{ca}", authorities.show_own),
    PageOf("POST", "/console/authorities/{ca}", authorities.change_own),
    PageOf("GET", "/console/nodes", nodes.show),
    PageOf("GET", "/console/audit", audit.show),
    PageOf("GET", "/console/audit/export", audit.export),
    PageOf("GET", "/console/settings", settings.show),
)
