"""Nodes: owns what is shown of the processes that serve the database, and of the brokers behind this one."""

from starlette.responses import Response

from thingmint.console.services import READ_STATUS
from thingmint.console.visit import Visit


async def show(visit: Visit) -> Response:
    """Return the page."""
    await visit.require_of_service(READ_STATUS)
    node = visit.services.node
    return visit.page("nodes.html", nodes=await node.nodes(), brokers=node.brokers())
