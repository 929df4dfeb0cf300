"""Owns the choice of a run's parts: keys of the requested type, and a registrar with or without a service."""

import contextlib
from collections.abc import AsyncIterator, Mapping

from thingmint.cli.connection import Connection, SignedClient
from thingmint.cli.issuing.offline import OfflineRegistrar
from thingmint.cli.issuing.registrar import HttpsRegistrar, file_sha256
from thingmint.cli.issuing.station_keys import RSA_2048, CurveKeys
from thingmint.data_directory.authorities import TRUST_ANCHOR
from thingmint.registration.kernel.ports import KeySource
from thingmint.service.authority import offline_authority
from thingmint.service.key_source import keys_of_command
from thingmint.settings.config import Config


@contextlib.asynccontextmanager
async def station_keys(config: Config, key_type: str) -> AsyncIterator[KeySource]:
    """Yield a source of key pairs of a type that `station_keys` knows."""
    if key_type == RSA_2048:
        async with keys_of_command(config) as pool:
            yield pool
    else:
        yield CurveKeys(key_type)


@contextlib.asynccontextmanager
async def registrar_of(
    config: Config, connection: Connection | None, keys: KeySource, production: Mapping[str, str]
) -> AsyncIterator[HttpsRegistrar | OfflineRegistrar]:
    """Yield the registrar of a service, or, without a connection, the one on the data directory."""
    if connection is None:
        async with offline_authority(config, keys) as (authority, caller):
            yield OfflineRegistrar(authority, caller, file_sha256(config.data_dir / TRUST_ANCHOR), production)
        return
    client = SignedClient(connection)
    try:
        yield HttpsRegistrar(client, file_sha256(connection.ca_file), production)
    finally:
        # Also ends calls in other threads, so that an interruption does not wait for a service that does not answer.
        client.close()
