"""Whose log it is: one key for all nodes of a service, sealed in its database."""

import os

import pytest
from tests.support.databases.log import ORIGIN, execute, log_on, sealer_of, state_of

from thingmint.core.errors import ServiceUnavailable
from thingmint.core.transparency.checkpoint import TreeHead, read_checkpoint
from thingmint.core.transparency.merkle import EMPTY_ROOT
from thingmint.issuance.keys.log_signature import is_signed
from thingmint.registration.kernel.ports import Store
from thingmint.registration.log.identity import open_log
from thingmint.signers.log_key import LogKeySigner


async def test_a_log_begins_with_a_signed_checkpoint_of_the_empty_tree(store: Store) -> None:
    log = await log_on(store)
    state = await state_of(store)
    checkpoint = read_checkpoint(state.checkpoint, log.key)
    assert checkpoint.head == TreeHead(0, EMPTY_ROOT)
    assert is_signed(log.key.public_key, checkpoint.body, checkpoint.signatures[0])
    assert (state.size, state.position, state.pruned, state.key.origin) == (0, 0, 0, ORIGIN)


async def test_the_name_and_the_key_are_given_once(store: Store) -> None:
    first, second = await log_on(store), await log_on(store, "other.example/log")
    assert second.key == first.key
    assert second.salt_secret == first.salt_secret


async def test_the_secrets_are_in_the_database_under_the_services_seal_only(store: Store) -> None:
    log = await log_on(store)
    assert log.salt_secret not in (await state_of(store)).sealed_secret
    with pytest.raises(ServiceUnavailable, match="sealed with another key"):
        await open_log(store, sealer_of(bytes(31) + b"1"), LogKeySigner, ORIGIN, os.urandom)


async def test_a_public_key_that_was_exchanged_is_not_used(store: Store) -> None:
    await log_on(store)
    await execute(store, "UPDATE log_state SET public_key = $1", bytes(32))
    with pytest.raises(ServiceUnavailable, match="not that of its private key"):
        await log_on(store)


def test_signatures_of_another_text_or_key_are_none() -> None:
    signer = LogKeySigner(bytes(32))
    signature = signer.sign(b"text")
    assert is_signed(signer.public_key, b"text", signature)
    assert not is_signed(signer.public_key, b"texts", signature)
    assert not is_signed(LogKeySigner(b"1" * 32).public_key, b"text", signature)


async def test_no_secret_is_in_a_repr(store: Store) -> None:
    log = await log_on(store)
    assert "secret" not in repr(log)
    assert log.salt_secret.hex() not in repr(log)
    assert "sealed_secret" not in repr(await state_of(store))
