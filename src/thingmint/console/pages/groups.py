"""Thing groups: owns the list, the page of one group, and its changes."""

from starlette.responses import Response

from thingmint.console.visit import PAGE_SIZE, Visit, in_path
from thingmint.core.errors import InvalidRequest, ResourceNotFound


async def browse(visit: Visit) -> Response:
    """Return a page of thing groups, by the start of their names."""
    prefix = visit.query("prefix")
    found = await visit.call(
        "ListThingGroups",
        maxResults=PAGE_SIZE,
        nextToken=visit.query("after") or None,
        namePrefixFilter=prefix or None,
    )
    return visit.page(
        "groups.html",
        groups=found["thingGroups"],
        following=found.get("nextToken", ""),
        prefix=prefix,
        refusal=await visit.why_not("CreateThingGroup", thingGroupName="a"),
    )


async def create(visit: Visit) -> Response:
    """Create a thing group, below another one or at the top."""
    name = visit.form.get("name", "").strip()
    if not name:
        raise InvalidRequest("Give the name of the group")
    description = visit.form.get("description", "").strip()
    await visit.call(
        "CreateThingGroup",
        thingGroupName=name,
        parentGroupName=visit.form.get("parent", "").strip() or None,
        thingGroupProperties={"thingGroupDescription": description} if description else None,
    )
    return visit.to(f"/groups/{in_path(name)}", "created")


async def show(visit: Visit) -> Response:
    """Return the page of one thing group: the groups and things in it, and the policies of their devices."""
    name = visit.named("group")
    group = await visit.call("DescribeThingGroup", thingGroupName=name)
    return visit.page(
        "group.html",
        group=group,
        children=await visit.attempt("ListThingGroups", parentGroup=name, maxResults=PAGE_SIZE),
        things=await visit.attempt(
            "ListThingsInThingGroup",
            thingGroupName=name,
            maxResults=PAGE_SIZE,
            nextToken=visit.query("after") or None,
        ),
        policies=await visit.attempt("ListAttachedPolicies", target=group["thingGroupArn"], pageSize=250),
        refusal=await visit.why_not("UpdateThingGroup", thingGroupName=name),
        deletion_refusal=await visit.why_not("DeleteThingGroup", thingGroupName=name),
    )


async def change(visit: Visit) -> Response:
    """Change the group, the things in it, its policies, or delete it."""
    name, wanted, form = visit.named("group"), visit.form.get("do", ""), visit.form
    if wanted == "delete":
        await visit.call("DeleteThingGroup", thingGroupName=name)
        return visit.to("/groups", "deleted")
    if wanted == "update":
        description = form.get("description", "").strip()
        await visit.call(
            "UpdateThingGroup",
            thingGroupName=name,
            thingGroupProperties={"thingGroupDescription": description} if description else {},
        )
    elif wanted in ("add", "remove"):
        operation = "AddThingToThingGroup" if wanted == "add" else "RemoveThingFromThingGroup"
        await visit.call(operation, thingGroupName=name, thingName=form.get("thing", "").strip())
    elif wanted in ("attach", "detach"):
        arn = (await visit.call("DescribeThingGroup", thingGroupName=name))["thingGroupArn"]
        operation = "AttachPolicy" if wanted == "attach" else "DetachPolicy"
        await visit.call(operation, policyName=_policy(form.get("policy", "")), target=arn)
    else:
        raise ResourceNotFound("There is no such action")
    return visit.to(f"/groups/{in_path(name)}", "updated")


def _policy(text: str) -> str:
    if not text.strip():
        raise InvalidRequest("Give the name of a policy")
    return text.strip()
