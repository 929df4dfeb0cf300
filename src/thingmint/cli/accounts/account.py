"""`thingmint account`: creates, lists and deletes accounts in the database of a data directory."""

import json
import os

import click

from thingmint.cli.accounts.access_key import print_secret
from thingmint.cli.accounts.registry_work import with_registry
from thingmint.cli.terminal.columns import table, terminal_width
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import AccountId, parse_account_id
from thingmint.registration.access import accounts
from thingmint.registration.access.access_keys import NewAccessKey
from thingmint.registration.access.accounts import Account
from thingmint.service.opening import Registry
from thingmint.service.start.first_credentials import operator, require_own_database
from thingmint.settings.config import Config

_PAGE = 100


def create(config: Config, number: str | None, *, as_json: bool) -> None:
    """Create an account and print its administrator's access key with the secret."""

    async def work(registry: Registry) -> NewAccessKey:
        await require_own_database(registry.store, registry.sealer, registry.issuer_ids, registry.config.data_dir)
        account = None if number is None else parse_account_id(number)
        caller = operator(registry.scope)
        return await accounts.create_account(
            registry.store, registry.sealer, registry.clock, os.urandom, caller, account
        )

    made = with_registry(config, work)
    key = made.access_key
    if as_json:
        # AWS's tools read Version, AccessKeyId and SecretAccessKey from a credential_process.
        fields = {
            "Version": 1,
            "Account": key.account,
            "AccessKeyId": key.access_key_id,
            "SecretAccessKey": made.secret,
        }
        print_secret(key, json.dumps(fields, indent=2))
        return
    lines = (
        f"account = {key.account}",
        f"aws_access_key_id = {key.access_key_id}",
        f"aws_secret_access_key = {made.secret}",
    )
    print_secret(key, "\n".join(lines))
    click.echo("The secret is shown only once.", err=True)


def list_all(config: Config, *, as_json: bool) -> None:
    """Print every account with the number of its access keys."""

    async def work(registry: Registry) -> list[Account]:
        found: list[Account] = []
        after: AccountId | None = None
        while True:
            page = await accounts.list_accounts(registry.store, registry.scope, after, _PAGE)
            found += page.accounts
            after = page.following
            if after is None:
                return found

    found = with_registry(config, work)
    if as_json:
        click.echo(json.dumps([{"Account": each.account, "AccessKeys": each.access_keys} for each in found], indent=2))
        return
    rows = [(each.account, str(each.access_keys)) for each in found]
    for line in table([("account", "access keys"), *rows] if rows else [], terminal_width()):
        click.echo(line)


def delete(config: Config, number: str) -> None:
    """Delete an account with all its resources, and print the number of deleted rows."""

    async def work(registry: Registry) -> int:
        account = parse_account_id(number)
        if account == registry.scope.account:
            raise InvalidRequest(f"{account} is the service's own account: it cannot be deleted")
        return await accounts.delete_account(registry.store, registry.clock, operator(registry.scope), account)

    click.echo(f"{number} is deleted: {with_registry(config, work)} rows")
