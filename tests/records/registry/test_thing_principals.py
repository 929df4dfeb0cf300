"""The table of the attachments of principals to things, on both engines."""

from tests.support.databases.stores import OTHER_SCOPE, SCOPE
from tests.support.registration.things import turned, write

from thingmint.core.identifiers import Scope, ThingName
from thingmint.core.registry.thing import ThingPrincipalType
from thingmint.records.registry import thing_principals as thing_principal_table
from thingmint.records.registry.thing_principals import Attachment
from thingmint.registration.kernel.ports import Store

EXCLUSIVE, SHARED = ThingPrincipalType.EXCLUSIVE_THING, ThingPrincipalType.NON_EXCLUSIVE_THING


def attachment(thing: str, principal: str, type_: ThingPrincipalType = SHARED) -> Attachment:
    return Attachment(ThingName(thing), principal, type_)


async def attach(store: Store, *attachments: Attachment, scope: Scope = SCOPE) -> list[object]:
    return await write(
        store, *(lambda each=each: thing_principal_table.attach_principal(scope, each) for each in attachments)
    )


async def principals(store: Store, thing: str, type_: ThingPrincipalType | None = None) -> list[list[str]]:
    pages = await turned(
        store, 2, lambda page: thing_principal_table.principals_of_thing(SCOPE, ThingName(thing), page, type_)
    )
    return [[each.principal for each in page] for page in pages]


async def things(store: Store, principal: str, scope: Scope = SCOPE) -> list[list[str]]:
    pages = await turned(store, 2, lambda page: thing_principal_table.things_of_principal(scope, principal, page))
    return [[each.thing_name for each in page] for page in pages]


async def test_an_attachment_comes_back_as_it_was_made(store: Store) -> None:
    exclusive = attachment("lamp", "arn:1", EXCLUSIVE)
    await attach(store, exclusive)

    assert await store.read(lambda: thing_principal_table.attachment(SCOPE, ThingName("lamp"), "arn:1")) == exclusive
    assert await store.read(lambda: thing_principal_table.attachment(SCOPE, ThingName("lamp"), "arn:2")) is None
    assert await store.read(lambda: thing_principal_table.attachment(OTHER_SCOPE, ThingName("lamp"), "arn:1")) is None


async def test_a_second_attachment_changes_nothing_and_says_so(store: Store) -> None:
    first = attachment("lamp", "arn:1", EXCLUSIVE)

    assert await attach(store, first, attachment("lamp", "arn:1", SHARED)) == [True, False]

    assert await store.read(lambda: thing_principal_table.attachment(SCOPE, ThingName("lamp"), "arn:1")) == first


async def test_attachments_are_listed_from_both_ends(store: Store) -> None:
    await attach(store, *(attachment("lamp", f"arn:{n}", SHARED if n % 2 else EXCLUSIVE) for n in range(5)))
    await attach(store, attachment("heater", "arn:1"), attachment("fan", "arn:1"))
    await attach(store, attachment("lamp", "arn:9"), scope=OTHER_SCOPE)

    assert await principals(store, "lamp") == [["arn:0", "arn:1"], ["arn:2", "arn:3"], ["arn:4"]]
    assert await principals(store, "lamp", EXCLUSIVE) == [["arn:0", "arn:2"], ["arn:4"]]
    assert await principals(store, "lamp", SHARED) == [["arn:1", "arn:3"]]
    assert await things(store, "arn:1") == [["lamp", "heater"], ["fan"]]
    assert await things(store, "arn:9") == []


async def test_a_detached_principal_is_gone_from_both_ends(store: Store) -> None:
    await attach(store, attachment("lamp", "arn:1"), attachment("lamp", "arn:2"))
    name = ThingName("lamp")

    detached = await write(
        store,
        lambda: thing_principal_table.detach_principal(SCOPE, name, "arn:1"),
        lambda: thing_principal_table.detach_principal(SCOPE, name, "arn:1"),
        lambda: thing_principal_table.detach_principal(OTHER_SCOPE, name, "arn:2"),
    )

    assert detached == [True, False, False]
    assert await principals(store, "lamp") == [["arn:2"]]
    assert await things(store, "arn:1") == []
