"""Devices: owns the pages of connections to this node, of one client, and of a topic that an operator watches."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from starlette.responses import Response

from thingmint.api.devices.live_devices import ConnectionFilter, Watch, WatchedMessage
from thingmint.console.services import LIST_CONNECTIONS
from thingmint.console.streaming import STILL_HERE, event_stream, written
from thingmint.console.visit import PAGE_SIZE, Visit
from thingmint.core.errors import AccessDenied, InvalidRequest, ResourceNotFound, ThingmintError
from thingmint.core.identifiers import iot_arn
from thingmint.registration.policies.authorization import authorize

_SHOWN_REFUSALS: Final = 50
_SHOWN_BYTES: Final = 4096
# A watch ends after this many messages.
_MOST_MESSAGES: Final = 1000
_QUIET_SECONDS: Final = 10.0


async def browse(visit: Visit) -> Response:
    """Return the connections to this node, and the last refusals."""
    await visit.require(LIST_CONNECTIONS)
    wanted = ConnectionFilter(visit.query("client"), visit.query("certificate").lower())
    found = visit.services.devices.connections(visit.scope, wanted, _after(visit.query("after")), PAGE_SIZE + 1)
    shown = found[:PAGE_SIZE]
    return visit.page(
        "devices_part.html" if visit.is_partial else "devices.html",
        follows=bool(visit.query("follow")),
        connections=shown,
        following=shown[-1].client_id.encode().hex() if len(found) > PAGE_SIZE else "",
        refusals=visit.services.devices.refusals(visit.scope, wanted, _SHOWN_REFUSALS),
        client=visit.query("client"),
        certificate=visit.query("certificate"),
    )


async def show(visit: Visit) -> Response:
    """Return the page of one client."""
    client_id = _client(visit.exact("id"))
    wanted = ConnectionFilter(client_id)
    refusal = await visit.refusal_of(LIST_CONNECTIONS)
    refusals = () if refusal else visit.services.devices.refusals(visit.scope, wanted, _SHOWN_REFUSALS)
    return visit.page(
        "device.html",
        client_id=client_id,
        connection=await visit.attempt("GetConnection", clientId=client_id, includeSocketInformation=True),
        refusals=[each for each in refusals if each.client_id == client_id],
        refusal=refusal,
        end_refusal=await visit.why_not("DeleteConnection", clientId=client_id),
        send_refusal=await visit.why_not("SendDirectMessage", clientId=client_id, topic="a"),
    )


async def act(visit: Visit) -> Response:
    """End a client's connection, or send it a message."""
    form, client_id = visit.form, _client(visit.exact("id"))
    if form.get("do") == "disconnect":
        await visit.call(
            "DeleteConnection",
            clientId=client_id,
            cleanSession="clean" in form,
            preventWillMessage="without_will" in form,
        )
        return visit.to("/devices", "disconnected")
    if form.get("do") == "send":
        await visit.call(
            "SendDirectMessage",
            clientId=client_id,
            topic=form.get("topic", ""),
            payload=form.get("payload", "").encode("utf-8", "replace"),
        )
        return visit.to("/devices", "sent")
    raise ResourceNotFound("There is no such action")


async def watch(visit: Visit) -> Response:
    """Return the page that watches a topic filter."""
    topic_filter = visit.exact("filter")
    refusal = await _refusal_of_watch(visit, topic_filter) if topic_filter else None
    return visit.page("watch.html", filter=topic_filter, refusal=refusal)


async def watched(visit: Visit) -> Response:
    """Stream the messages of a topic filter; the caller's policies are asked about the topic of each message."""
    topic_filter = visit.exact("filter")
    await _require_watch(visit, topic_filter)

    def may_see(topic: str) -> bool:
        try:
            authorize(visit.caller, "iot:Receive", iot_arn(visit.scope, f"topic/{topic}"), visit.conditions)
        except AccessDenied:
            return False
        return True

    async def stream() -> AsyncGenerator[bytes, None]:
        try:
            async with visit.services.devices.watch(visit.scope, topic_filter, may_see) as watch:
                yield written("watching", "")
                seen = 0
                while seen < _MOST_MESSAGES:
                    message = await _next(watch)
                    seen += message is not None
                    yield STILL_HERE if message is None else written("part", _row(visit, message, watch.dropped))
                yield written("ended", "")
        except ThingmintError as error:
            yield written("refused", error.message)

    return event_stream(visit, visit.services.live.streams, stream)


async def _next(watch: Watch) -> WatchedMessage | None:
    try:
        async with asyncio.timeout(_QUIET_SECONDS):
            return await watch.next()
    except TimeoutError:
        return None


def _row(visit: Visit, message: WatchedMessage, dropped: int) -> str:
    payload = message.payload[:_SHOWN_BYTES]
    text = payload.decode("utf-8", "backslashreplace")
    values = {"message": message, "text": text, "dropped": dropped, "is_cut": len(message.payload) > _SHOWN_BYTES}
    return visit.pages.render("watched_part.html", {**values, "at": visit.authority.clock.now()})


async def _refusal_of_watch(visit: Visit, topic_filter: str) -> str | None:
    try:
        await _require_watch(visit, topic_filter)
    except ThingmintError as error:
        return error.message
    return None


async def _require_watch(visit: Visit, topic_filter: str) -> None:
    if not topic_filter:
        raise InvalidRequest("Give a topic filter")
    await visit.require("iot:Subscribe", iot_arn(visit.scope, f"topicfilter/{topic_filter}"))


def _after(text: str) -> str:
    """Return the client id after which a page begins. In hexadecimal, because forms change line ends."""
    try:
        return bytes.fromhex(text).decode()
    except ValueError:
        raise InvalidRequest("There is no such page of connections") from None


def _client(text: str) -> str:
    if not text:
        raise InvalidRequest("Give the id of a client")
    return text
