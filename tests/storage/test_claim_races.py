"""A claim and the deletion of its template at the same time, on both engines: no claim outlives its template."""

import asyncio
from types import MappingProxyType

from msgspec.structs import replace
from tests.support.registration.authority import EVERYTHING, caller_with, new_authority
from tests.support.registration.provisioning import BODY, ROLE_ARN

from thingmint.core.errors import ResourceNotFound
from thingmint.core.identifiers import TemplateName
from thingmint.core.provisioning.stored_template import TemplateType
from thingmint.records.provisioning import provisioning_templates as provisioning_template_table
from thingmint.registration.kernel.ports import Store
from thingmint.registration.provisioning import claims, provisioning_templates

CALLER, NAME = caller_with(EVERYTHING), TemplateName("fleet")
ROUNDS, CLAIMS = 10, 6


async def test_no_claim_outlives_its_template(store: Store) -> None:
    authority = replace(new_authority(), store=store)
    issued = 0
    for _ in range(ROUNDS):
        await provisioning_templates.create(
            authority,
            CALLER,
            NAME,
            BODY,
            kind=TemplateType.FLEET_PROVISIONING,
            description=None,
            enabled=True,
            role_arn=ROLE_ARN,
            hook=None,
            tags=MappingProxyType({}),
        )

        async def delete_later(turns: int) -> None:
            for _ in range(turns):
                await authority.store.read(
                    lambda: provisioning_template_table.provisioning_template(CALLER.scope, NAME)
                )
            await provisioning_templates.delete(authority, CALLER, NAME)

        results = await asyncio.gather(
            *(claims.create_claim(authority, CALLER, NAME) for _ in range(CLAIMS)),
            delete_later(2),
            return_exceptions=True,
        )

        for result in results[:CLAIMS]:
            assert isinstance(result, claims.IssuedClaim | ResourceNotFound), result
            if isinstance(result, claims.IssuedClaim):
                issued += 1
                assert await claims.recognise_claim(authority, result.certificate_id) is None
    assert issued > 0
