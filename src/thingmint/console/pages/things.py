"""Things: owns the list, the page of one thing, and its changes."""

from starlette.responses import Response

from thingmint.console.visit import PAGE_SIZE, Visit, in_path
from thingmint.core.errors import InvalidRequest, ResourceNotFound


async def browse(visit: Visit) -> Response:
    """Return a page of things: all, of a type, or with the value of an attribute."""
    name, value, kind = visit.query("attribute"), visit.query("value"), visit.query("type")
    found = await visit.call(
        "ListThings",
        maxResults=PAGE_SIZE,
        nextToken=visit.query("after") or None,
        attributeName=name or None,
        attributeValue=value or None,
        thingTypeName=kind or None,
        usePrefixAttributeValue=True if name else None,
    )
    return visit.page(
        "things.html",
        things=found["things"],
        following=found.get("nextToken", ""),
        attribute=name,
        value=value,
        type=kind,
        refusal=await visit.why_not("CreateThing", thingName="a"),
    )


async def create(visit: Visit) -> Response:
    """Create a thing."""
    name = visit.form.get("name", "").strip()
    if not name:
        raise InvalidRequest("Give the name of the thing")
    await visit.call("CreateThing", thingName=name, **_properties(visit))
    return visit.to(f"/things/{in_path(name)}", "created")


async def show(visit: Visit) -> Response:
    """Return the page of one thing."""
    name = visit.named("thing")
    thing = await visit.call("DescribeThing", thingName=name)
    return visit.page(
        "thing.html",
        thing=thing,
        attributes=_as_lines(thing["attributes"]),
        groups=await visit.attempt("ListThingGroupsForThing", thingName=name, maxResults=250),
        principals=await visit.attempt("ListThingPrincipals", thingName=name, maxResults=250),
        connectivity=await visit.attempt("GetThingConnectivityData", thingName=name),
        refusal=await visit.why_not("UpdateThing", thingName=name),
        deletion_refusal=await visit.why_not("DeleteThing", thingName=name),
    )


async def change(visit: Visit) -> Response:
    """Change the thing, its groups, or delete it."""
    name, wanted = visit.named("thing"), visit.form.get("do", "")
    if wanted == "update":
        version = visit.form.get("version", "")
        members = _properties(visit)
        if not members["thingTypeName"]:
            described = await visit.call("DescribeThing", thingName=name)
            members["removeThingType"] = True if described.get("thingTypeName") else None
        await visit.call("UpdateThing", thingName=name, expectedVersion=_version(version), **members)
        return visit.to(f"/things/{in_path(name)}", "updated")
    if wanted == "delete":
        await visit.call("DeleteThing", thingName=name)
        return visit.to("/things", "deleted")
    if wanted in ("join", "leave"):
        operation = "AddThingToThingGroup" if wanted == "join" else "RemoveThingFromThingGroup"
        await visit.call(operation, thingName=name, thingGroupName=visit.form.get("group", "").strip())
        return visit.to(f"/things/{in_path(name)}", "updated")
    raise ResourceNotFound("There is no such action")


def _properties(visit: Visit) -> dict[str, object]:
    return {
        "thingTypeName": visit.form.get("type", "").strip() or None,
        "attributePayload": {"attributes": _of_lines(visit.form.get("attributes", ""))},
    }


def _of_lines(text: str) -> dict[str, str]:
    """Return the attributes of lines such as ``name = value``; raise InvalidRequest with the number of a wrong line."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, sign, value = line.partition("=")
        if not line.strip():
            continue
        if not sign or name.strip() in found:
            raise InvalidRequest(f"Line {number} of the attributes is not a new name, an equals sign and a value")
        found[name.strip()] = value.strip()
    return found


def _as_lines(attributes: dict[str, str]) -> str:
    return "\n".join(f"{name} = {value}" for name, value in attributes.items())


def _version(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 15:
        raise InvalidRequest("The version of the thing is a number")
    return int(text)
