"""`thingmint access-key`: creates, lists and deletes access keys."""

import json
import os
from datetime import datetime, timedelta
from typing import BinaryIO

import click

from thingmint.cli.accounts.registry_work import with_registry
from thingmint.cli.settings import fail
from thingmint.cli.terminal.columns import table, terminal_width
from thingmint.core.access_key import AccessKey
from thingmint.core.error_text import in_words
from thingmint.data_directory.handover import CREDENTIALS, read_credentials
from thingmint.host.given_files import read_opened
from thingmint.host.standard_streams import OutputLost
from thingmint.registration.access.access_keys import (
    AccessKeyRequest,
    NewAccessKey,
    create_access_key,
    delete_access_key,
    list_access_keys,
)
from thingmint.service.opening import Registry
from thingmint.service.start.caller_policies import missing_keys
from thingmint.service.start.first_credentials import operator, require_own_database
from thingmint.settings.config import Config

_HEADING = ("access key", "account", "user", "origin", "created", "expires")


def create(
    config: Config, policy_file: BinaryIO, *, user_name: str | None, expires_in: int | None, as_json: bool
) -> None:
    """Create an access key with the policy of a file, and print it with its secrets."""
    try:
        policy_text = read_opened(policy_file).decode("utf-8")
    except UnicodeDecodeError:
        fail(f"{policy_file.name} is not UTF-8")
    except OSError as error:
        fail(in_words(error))
    lifetime = None if expires_in is None else timedelta(seconds=expires_in)

    async def work(registry: Registry) -> NewAccessKey:
        await require_own_database(registry.store, registry.sealer, registry.issuer_ids, registry.config.data_dir)
        request = AccessKeyRequest(user_name or "operator-made", policy_text, lifetime)
        caller = operator(registry.scope)
        return await create_access_key(registry.store, registry.sealer, registry.clock, os.urandom, caller, request)

    created = with_registry(config, work)
    for key in missing_keys(policy_text):
        click.echo(
            f"warning: no request has the condition key {key}: a Deny on it does nothing, an Allow never holds. "
            "docs/reference/policies.md lists the keys that exist here.",
            err=True,
        )
    fields = _credential_process(created)
    if as_json:
        print_secret(created.access_key, json.dumps(fields, indent=2))
        return
    lines = [f"aws_access_key_id = {created.access_key.access_key_id}", f"aws_secret_access_key = {created.secret}"]
    if created.session_token is not None:
        lines.append(f"aws_session_token = {created.session_token}")
    print_secret(created.access_key, "\n".join(lines))
    if created.session_token is not None:
        click.echo(f"expires {fields['Expiration']}", err=True)
    click.echo("The secret is shown only once.", err=True)


def print_secret(access_key: AccessKey, text: str) -> None:
    """Print a new access key with its secret; if that fails, end the program and say how to delete the key."""
    try:
        click.echo(text)
    except (OutputLost, BrokenPipeError) as error:
        fail(
            f"the access key {access_key.access_key_id} of account {access_key.account} was created, and nobody has "
            f"its secret, because {in_words(error)}: delete it with "
            f"`thingmint access-key delete {access_key.access_key_id} --account {access_key.account}`"
        )


def list_all(config: Config, *, all_accounts: bool, as_json: bool) -> None:
    """Print the access keys of the account, or of all accounts, without their secrets."""

    async def work(registry: Registry) -> tuple[AccessKey, ...]:
        return await list_access_keys(registry.store, None if all_accounts else registry.scope.account)

    keys = with_registry(config, work)
    if as_json:
        click.echo(json.dumps([_shown(key) for key in keys], indent=2))
        return
    width = terminal_width()
    rows = [_HEADING, *(_cells(key, is_short=width is not None) for key in keys)] if keys else []
    if width is not None and not all_accounts:
        # All rows are of the account that was asked for.
        rows = [(row[0], *row[2:]) for row in rows]
    if width is not None and not any(key.expires_at for key in keys):
        rows = [row[:-1] for row in rows]
    for line in table(rows, width, whole=1):
        click.echo(line)


def delete(config: Config, access_key_id: str) -> None:
    """Delete an access key, and the credentials file if it names this key."""
    if not access_key_id.isascii():
        fail(f"The access key {access_key_id} does not exist.")

    async def work(registry: Registry) -> None:
        await delete_access_key(registry.store, registry.clock, operator(registry.scope), access_key_id)

    with_registry(config, work)
    try:
        present = read_credentials(config.data_dir)
    except ValueError:
        # Nobody can use the file, so it does not matter which key it names.
        present = None
    if present is not None and present.access_key_id == access_key_id:
        (config.data_dir / CREDENTIALS).unlink(missing_ok=True)
        click.echo(f"{access_key_id} was the administrator's key: the credentials file is removed too", err=True)


def _credential_process(created: NewAccessKey) -> dict[str, object]:
    """Return the fields that AWS's tools read from a ``credential_process``."""
    fields: dict[str, object] = {
        "Version": 1,
        "AccessKeyId": created.access_key.access_key_id,
        "SecretAccessKey": created.secret,
    }
    if created.session_token is not None:
        fields["SessionToken"] = created.session_token
    if created.access_key.expires_at is not None:
        fields["Expiration"] = created.access_key.expires_at.isoformat()
    return fields


def _cells(key: AccessKey, *, is_short: bool) -> tuple[str, ...]:
    times = [_time(at, is_short=is_short) for at in (key.created_at, key.expires_at)]
    return (key.access_key_id, key.account, key.user_name, key.origin, *times)


def _time(at: datetime | None, *, is_short: bool) -> str:
    if at is None:
        return ""
    return f"{at:%Y-%m-%d %H:%M}" if is_short else f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _shown(key: AccessKey) -> dict[str, object]:
    return {
        "AccessKeyId": key.access_key_id,
        "Account": key.account,
        "UserName": key.user_name,
        "Origin": key.origin,
        "CreateDate": key.created_at.isoformat(),
        "Expiration": None if key.expires_at is None else key.expires_at.isoformat(),
        "Policy": json.loads(key.policy_text),
    }
