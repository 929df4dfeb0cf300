"""The registry against a reference of its rules: whatever is asked for in whatever order, both hold the same.

A third, who hears nothing but the events of things, types and groups, knows the same of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace
from tests.support.devices.event_mirror import EventMirror
from tests.support.machine.soak import examples
from tests.support.registration.authority import Listener, new_authority
from tests.support.registration.registry import ALL, Registry
from tests.support.registration.registry_model import RegistryModel

from thingmint.core.errors import DeletionRefused, ThingmintError
from thingmint.core.identifiers import CertificateId, ThingTypeName
from thingmint.core.registry.event_configuration import EventType
from thingmint.core.registry.thing import ThingPrincipalType
from thingmint.core.registry.thing_filter import AttributeFilter, ThingFilter
from thingmint.registration.certificates import certificates
from thingmint.registration.registry import event_configurations, things

# Few names: what is asked for shall often meet what was asked for before.
THINGS = st.sampled_from(["lamp", "fan"])
TYPES = st.sampled_from(["light", "warmth"])
GROUPS = st.sampled_from(["a", "b", "c", "d"])
BILLING = st.sampled_from(["ward", "lab"])
VALUES = st.sampled_from(["", "red", "redder", "blue"])
ATTRIBUTES = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), VALUES, max_size=4)
SET_ATTRIBUTES = ATTRIBUTES.map(lambda attributes: {name: value for name, value in attributes.items() if value})
NUMBERS = st.integers(0, 1)
VERSIONS = st.none() | st.integers(1, 3)


def starting_with(prefix: str) -> Callable[[str], bool]:
    return lambda value: value.startswith(prefix)


class BothMachine(RuleBasedStateMachine):
    """Asks both for the same, and compares. Things come and go; what else there is, its kinds add."""

    def __init__(self) -> None:
        super().__init__()
        authority = replace(new_authority(), thing_type_deletable_after=timedelta(0))
        self.registry, self.model = Registry(authority), RegistryModel()
        self.runner = asyncio.Runner()
        self.arns: list[str] = []
        self.mirror = EventMirror()
        self.run(event_configurations.update(authority, self.registry.caller, dict.fromkeys(EventType, True)))

    def teardown(self) -> None:
        self.runner.close()

    def both(self, asked: Awaitable[object], expected: Callable[[], None]) -> None:
        """Ask both, and compare how they refuse."""
        outcome, refusal = self.run(asked), None
        try:
            expected()
        except ThingmintError as error:
            refusal = error
        refused = outcome if isinstance(outcome, ThingmintError) else None
        assert type(refused) is type(refusal), f"{refused!r}, in the model {refusal!r}"

    def run(self, asked: Awaitable[object]) -> object:
        async def outcome() -> object:
            try:
                return await asked
            except ThingmintError as error:
                return error

        return self.runner.run(outcome())

    @invariant()
    def the_events_tell_all_of_it(self) -> None:
        listener = self.registry.authority.events
        assert isinstance(listener, Listener)
        for event in listener.events:
            self.mirror.hear(event)
        listener.events.clear()
        assert self.mirror.things == self.model.things
        assert self.mirror.types == self.model.types
        typed = {name: thing.type_name for name, thing in self.model.things.items() if thing.type_name is not None}
        assert self.mirror.type_of == typed
        assert {name: self.mirror.parent_of.get(name) for name in self.mirror.groups} == self.model.parents
        assert self.mirror.parent_of.keys() <= self.mirror.groups
        assert {name: self.mirror.groups_of(name) for name in self.mirror.things} == self.model.groups_of
        assert {member for member, _ in self.mirror.memberships} <= self.mirror.things.keys()

    @initialize()
    def fill(self) -> None:
        """Begin with something, or most of what is asked for would not be found."""
        self.create_thing("lamp")

    @rule(name=THINGS)
    def create_thing(self, name: str) -> None:
        self.both(self.registry.create_thing(name), lambda: self.model.create_thing(name, None, None, {}))

    @rule(name=THINGS, expected=VERSIONS)
    def delete_thing(self, name: str, expected: int | None) -> None:
        self.both(self.registry.delete_thing(name, expected), lambda: self.model.delete_thing(name, expected))


class ThingMachine(BothMachine):
    """Things with types, attributes and billing groups."""

    @initialize()
    def types_and_bills(self) -> None:
        self.create_type("light")
        self.create_billing_group("ward")
        self.create_described_thing("fan", "light", "ward", {"a": "red"})

    @rule(name=THINGS, type_name=st.none() | TYPES, billing=st.none() | BILLING, attributes=SET_ATTRIBUTES)
    def create_described_thing(
        self, name: str, type_name: str | None, billing: str | None, attributes: dict[str, str]
    ) -> None:
        asked = self.registry.create_thing(name, type_name, billing=billing, attributes=attributes)
        self.both(asked, lambda: self.model.create_thing(name, type_name, billing, attributes))

    @rule(name=TYPES)
    def create_type(self, name: str) -> None:
        self.both(self.registry.create_type(name), lambda: self.model.create_type(name))

    @rule(name=TYPES, undo=st.booleans())
    def deprecate_type(self, name: str, undo: bool) -> None:
        self.both(self.registry.deprecate_type(name, undo=undo), lambda: self.model.deprecate_type(name, undo=undo))

    @rule(name=TYPES)
    def delete_type(self, name: str) -> None:
        self.both(self.registry.delete_type(name), lambda: self.model.delete_type(name))

    @rule(
        name=THINGS,
        type_name=st.none() | TYPES,
        remove_type=st.sampled_from([False, False, False, True]),
        attributes=ATTRIBUTES,
        expected=VERSIONS,
    )
    def update_thing(
        self, name: str, type_name: str | None, remove_type: bool, attributes: dict[str, str], expected: int | None
    ) -> None:
        self.both(
            self.registry.update_thing(
                name, type_name, remove_type=remove_type, attributes=attributes, expected=expected
            ),
            lambda: self.model.update_thing(
                name, type_name, remove_type=remove_type, attributes=attributes, expected=expected
            ),
        )

    @rule(name=BILLING)
    def create_billing_group(self, name: str) -> None:
        self.both(self.registry.create_billing_group(name), lambda: self.model.create_billing_group(name))

    @rule(name=BILLING)
    def delete_billing_group(self, name: str) -> None:
        self.both(self.registry.delete_billing_group(name), lambda: self.model.delete_billing_group(name))

    @rule(group=BILLING, thing=THINGS)
    def bill(self, group: str, thing: str) -> None:
        self.both(self.registry.bill(group, thing), lambda: self.model.bill(group, thing))

    @rule(group=BILLING, thing=THINGS)
    def unbill(self, group: str, thing: str) -> None:
        self.both(self.registry.unbill(group, thing), lambda: self.model.unbill(group, thing))

    @invariant()
    def both_hold_the_same_things(self) -> None:
        for name, expected in self.model.things.items():
            stored = self.runner.run(self.registry.thing(name))
            assert stored.type_name == expected.type_name
            assert stored.billing_group_name == expected.billing
            assert stored.attributes.as_dict() == expected.attributes
            assert stored.version == expected.version
        for group in self.model.billing:
            billed = {name for name, expected in self.model.things.items() if expected.billing == group}
            assert set(self.runner.run(self.registry.billed(group))) == billed

    @invariant()
    def both_list_the_same_things(self) -> None:
        assert self.listed(ThingFilter()) == set(self.model.things)
        for type_name in (None, *self.model.types):
            for prefix in ("red", ""):
                wanted = ThingFilter(
                    None if type_name is None else ThingTypeName(type_name), AttributeFilter("a", prefix, True)
                )
                assert self.listed(wanted) == set(self.expected(type_name, starting_with(prefix)))
            exactly = ThingFilter(None if type_name is None else ThingTypeName(type_name), AttributeFilter("a", "red"))
            assert self.listed(exactly) == set(self.expected(type_name, lambda value: value == "red"))

    def listed(self, wanted: ThingFilter) -> set[str]:
        """Return the names of the things that the registry finds."""
        page = self.runner.run(things.list_things(self.registry.authority, self.registry.caller, wanted, ALL))
        return {thing.name for thing in page.items}

    def expected(self, type_name: str | None, is_wanted: Callable[[str], bool]) -> Iterator[str]:
        """Yield the names of the things that the model finds."""
        for name, thing in self.model.things.items():
            value = thing.attributes.get("a")
            if value is not None and is_wanted(value) and type_name in (None, thing.type_name):
                yield name


class GroupMachine(BothMachine):
    """Things in groups."""

    @initialize()
    def a_hierarchy(self) -> None:
        for name, parent in (("a", None), ("b", "a"), ("c", "a"), ("d", None)):
            self.create_group(name, parent)

    @rule(name=GROUPS, parent=st.none() | GROUPS)
    def create_group(self, name: str, parent: str | None) -> None:
        self.both(self.registry.create_group(name, parent), lambda: self.model.create_group(name, parent))

    @rule(name=GROUPS)
    def delete_group(self, name: str) -> None:
        self.both(self.registry.delete_group(name), lambda: self.model.delete_group(name))

    @rule(group=GROUPS, thing=THINGS)
    def join(self, group: str, thing: str) -> None:
        self.both(self.registry.join(group, thing), lambda: self.model.join(group, thing))

    @rule(group=GROUPS, thing=THINGS)
    def leave(self, group: str, thing: str) -> None:
        self.both(self.registry.leave(group, thing), lambda: self.model.leave(group, thing))

    @invariant()
    def both_list_the_same_groups(self) -> None:
        assert self.runner.run(self.registry.groups()) == sorted(self.model.parents)
        assert self.runner.run(self.registry.groups(recursive=False)) == sorted(
            name for name, parent in self.model.parents.items() if parent is None
        )
        for name in self.model.parents:
            children = sorted(child for child, parent in self.model.parents.items() if parent == name)
            below = {child for child in self.model.parents if name in self.model.path(child)[:-1]}
            assert self.runner.run(self.registry.groups(name)) == children
            assert set(self.runner.run(self.registry.groups(name, recursive=True))) == below
            assert set(self.runner.run(self.registry.members(name, recursive=True))) == self.model.members(name)
        for name in self.model.things:
            assert self.runner.run(self.registry.groups_of(name)) == self.model.groups_of[name]


class PrincipalMachine(BothMachine):
    """Certificates on things."""

    @initialize()
    def certificates(self) -> None:
        for _ in range(2):
            certificate = self.runner.run(self.registry.certificate())
            self.arns.append(certificate.arn)
            self.model.certificates.add(certificate.arn)

    @rule(thing=THINGS, number=NUMBERS, type_=st.none() | st.sampled_from(ThingPrincipalType))
    def attach(self, thing: str, number: int, type_: ThingPrincipalType | None) -> None:
        arn = self.arns[number]
        exclusive = None if type_ is None else type_ is ThingPrincipalType.EXCLUSIVE_THING
        self.both(self.registry.attach(thing, arn, type_), lambda: self.model.attach(thing, arn, exclusive))

    @rule(thing=THINGS, number=NUMBERS)
    def detach(self, thing: str, number: int) -> None:
        arn = self.arns[number]
        self.both(self.registry.detach(thing, arn), lambda: self.model.detach(thing, arn))

    @rule(number=NUMBERS)
    def delete_certificate(self, number: int) -> None:
        """A certificate that is attached to no thing is replaced by a new one."""
        arn = self.arns[number]
        certificate_id = CertificateId(arn.rsplit("/", 1)[1])
        outcome = self.run(certificates.delete(self.registry.authority, self.registry.caller, certificate_id))
        if any(principal == arn for _, principal in self.model.attached):
            assert isinstance(outcome, DeletionRefused)
            return
        assert outcome is None
        self.arns[number] = self.runner.run(self.registry.certificate()).arn
        self.model.certificates ^= {arn, self.arns[number]}

    @invariant()
    def both_list_the_same_attachments(self) -> None:
        for arn in self.arns:
            expected = [thing for thing, principal in self.model.attached if principal == arn]
            assert self.runner.run(self.registry.things_of(arn)) == expected
        for name in self.model.things:
            assert self.runner.run(self.registry.principals(name)) == self.model.principals(name)


PROFILE = settings(max_examples=examples(10, 40), stateful_step_count=examples(30, 40))
TestThings, TestGroups, TestPrincipals = ThingMachine.TestCase, GroupMachine.TestCase, PrincipalMachine.TestCase
TestThings.settings = TestGroups.settings = TestPrincipals.settings = PROFILE
