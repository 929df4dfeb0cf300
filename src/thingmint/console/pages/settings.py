"""Settings: owns the page of the settings in force and their sources."""

from itertools import groupby

from starlette.responses import Response

from thingmint.console.services import READ_SETTINGS
from thingmint.console.visit import Visit


async def show(visit: Visit) -> Response:
    """Return the page."""
    await visit.require_of_service(READ_SETTINGS)
    found = visit.services.node.settings()
    groups = [(group, list(members)) for group, members in groupby(found, key=lambda each: each.group)]
    return visit.page("settings.html", groups=groups)
