"""Provisioning templates against a dictionary: whatever the order of operations, both know the same versions."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.machine.soak import examples
from tests.support.registration.authority import caller_with, new_authority
from tests.support.registration.provisioning import BODY, ROLE_ARN

from thingmint.core.errors import (
    DeletionRefused,
    ResourceExists,
    ResourceNotFound,
    ThingmintError,
    VersionsLimitExceeded,
)
from thingmint.core.identifiers import TemplateName
from thingmint.core.paging import PageRequest
from thingmint.core.provisioning.stored_template import TemplateType, TemplateUpdate
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import provisioning_templates

CALLER = caller_with()
FIRST = PageRequest(50, None, ascending=True)


@dataclass
class Known:
    """What there should be of one template."""

    versions: dict[int, str]
    default: int = 1
    last: int = 1


@dataclass
class Model:
    """The reference: what each operation should answer, and what there should be after it."""

    templates: dict[str, Known] = field(default_factory=dict)

    def create(self, name: str, body: str) -> object:
        if name in self.templates:
            return ResourceExists
        self.templates[name] = Known({1: body})
        return 1

    def delete(self, name: str) -> object:
        return None if self.templates.pop(name, None) else ResourceNotFound

    def create_version(self, name: str, body: str, as_default: bool) -> object:
        known = self.templates.get(name)
        if known is None:
            return ResourceNotFound
        if len(known.versions) == 5:
            return VersionsLimitExceeded
        known.last += 1
        known.versions[known.last] = body
        known.default = known.last if as_default else known.default
        return known.last

    def delete_version(self, name: str, number: int) -> object:
        known = self.templates.get(name)
        if known is None:
            return ResourceNotFound
        if number == known.default:
            return DeletionRefused
        return None if known.versions.pop(number, None) else ResourceNotFound

    def set_default(self, name: str, number: int) -> object:
        known = self.templates.get(name)
        if known is None or number not in known.versions:
            return ResourceNotFound
        known.default = number
        return None


names = st.sampled_from(["a", "b"])
bodies = st.integers(0, 9).map(lambda number: BODY.replace("sensor-", f"sensor{number}-"))
numbers = st.integers(0, 8)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("create"), names, bodies),
        st.tuples(st.just("delete"), names),
        st.tuples(st.just("create_version"), names, bodies, st.booleans()),
        st.tuples(st.just("delete_version"), names, numbers),
        st.tuples(st.just("set_default"), names, numbers),
    ),
    max_size=25,
)


async def carried_out(authority: RegistrationAuthority, operation: str, name: TemplateName, *rest: object) -> object:
    """Return what the operation answers, in the words of the model."""
    try:
        match operation, rest:
            case "create", (str(body),):
                created = await provisioning_templates.create(
                    authority,
                    CALLER,
                    name,
                    body,
                    kind=TemplateType.FLEET_PROVISIONING,
                    description=None,
                    enabled=True,
                    role_arn=ROLE_ARN,
                    hook=None,
                    tags={},
                )
                return created.default_version
            case "create_version", (str(body), bool(as_default)):
                made = await provisioning_templates.create_version(authority, CALLER, name, body, as_default=as_default)
                return made[1]
            case "delete_version", (int(number),):
                await provisioning_templates.delete_version(authority, CALLER, name, number)
            case "set_default", (int(number),):
                await provisioning_templates.update(authority, CALLER, name, TemplateUpdate(default_version=number))
            case _:
                await provisioning_templates.delete(authority, CALLER, name)
    except ThingmintError as error:
        return ResourceNotFound if isinstance(error, ResourceNotFound) else type(error)
    return None


@settings(max_examples=examples(12, 60))
@given(operations)
async def test_templates_are_what_a_dictionary_would_hold(steps: list[tuple[str, ...]]) -> None:
    """The invariant: every answer is the model's, and so is everything that can be read after the last of them."""
    authority, model = new_authority(), Model()
    for operation, name, *rest in steps:
        answer = await carried_out(authority, operation, TemplateName(name), *rest)
        assert answer == getattr(model, operation)(name, *rest)
    page = await provisioning_templates.list_templates(authority, CALLER, FIRST)
    assert [entry.name for entry in page.items] == list(model.templates)
    for name, known in model.templates.items():
        template, versions = await provisioning_templates.list_versions(authority, CALLER, TemplateName(name), FIRST)
        assert (template.default_version, template.last_version) == (known.default, known.last)
        assert [entry.version for entry in versions.items] == list(known.versions)
        for number, body in known.versions.items():
            _, version = await provisioning_templates.describe_version(authority, CALLER, TemplateName(name), number)
            assert version.body == body
