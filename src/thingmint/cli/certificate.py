"""`thingmint certificate`: the work on certificates for which the API has no operation."""

import asyncio

import click

from thingmint.cli.settings import fail
from thingmint.core.certificates.revocation import revocation_reason
from thingmint.core.error_text import in_words
from thingmint.core.errors import ServiceUnavailable, ThingmintError
from thingmint.core.identifiers import parse_certificate_id
from thingmint.issuance.keys.key_pairs import KeyPair
from thingmint.registration.certificates.certificates import revoke
from thingmint.registration.kernel.mutation import UNHEARD
from thingmint.service.authority import registration_authority
from thingmint.service.opening import registry_beside_service
from thingmint.service.start.first_credentials import operator, require_own_database
from thingmint.settings.config import Config, StartRefused


class _NoKeys:
    """A `ports.KeySource` for commands that need no keys."""

    async def take(self) -> KeyPair:
        """Raise ServiceUnavailable."""
        raise ServiceUnavailable("This command makes no keys")


def revoke_for_reason(config: Config, certificate_id: str, reason: str) -> None:
    """Revoke a certificate, or record why one was revoked, whether or not a service is running."""
    try:
        asyncio.run(_revoke(config, certificate_id, reason))
    except (StartRefused, ThingmintError, OSError) as error:
        fail(in_words(error))
    click.echo(f"{certificate_id} is revoked: {reason}")


async def _revoke(config: Config, certificate_id: str, reason: str) -> None:
    async with registry_beside_service(config) as registry:
        await require_own_database(registry.store, registry.sealer, registry.issuer_ids, config.data_dir)
        authority = registration_authority(registry, _NoKeys(), UNHEARD)
        named = parse_certificate_id(certificate_id)
        await revoke(authority, operator(registry.scope), named, revocation_reason(reason))
