"""Owns the creation of the first access key, and the check that a database belongs to a data directory's keys."""

import getpass
import os
import secrets
import uuid
from collections.abc import Collection
from pathlib import Path

from thingmint.core.access_key import AccessKeyOrigin
from thingmint.core.caller import Caller, Principal
from thingmint.core.clock import Clock
from thingmint.core.error_text import in_words
from thingmint.core.identifiers import Scope, user_arn
from thingmint.data_directory.handover import CREDENTIALS, OperatorCredentials, read_credentials, write_credentials
from thingmint.hooks import MIN_SECRET_BYTES
from thingmint.host.given_files import read_given
from thingmint.host.platform_modules import pwd
from thingmint.records.access import access_keys as access_key_table
from thingmint.registration.access import database_keys
from thingmint.registration.access.access_keys import delete_access_key, ensure_administrator, sealing_name
from thingmint.registration.access.database_keys import ForeignDatabase
from thingmint.registration.kernel.ports import SecretSealer, Store
from thingmint.settings.config import Config, StartRefused
from thingmint.storage import SQLITE_FILE_NAME

CREDENTIALS_WANTED = "credentials.wanted"
"""A file that marks the data directory of a joined node without the administrator's key."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def operator(scope: Scope) -> Caller:
    """Return the caller of commands on the data directory. No policy restricts it; its address is the system's user."""
    principal = Principal(user_arn(scope, "operator"), ())
    return Caller(scope.account, scope.region, principal, str(uuid.uuid4()), f"local user {_own_user()}")


def _own_user() -> str:
    """Return the name of the user who runs this process, or the user id if the system has no name.

    Environment variables are not used, because the user could set them.
    """
    if pwd is None:
        return getpass.getuser()
    number = os.getuid()
    try:
        return str(pwd.getpwuid(number).pw_name)
    except KeyError:
        return str(number)


async def ensure_credentials(
    store: Store, sealer: SecretSealer, issuer_ids: Collection[str], clock: Clock, scope: Scope, config: Config
) -> None:
    """Make sure that an administrator's access key exists, and that the credentials file holds it.

    A node that has joined gets the key that another node has stored. An operator may delete the file afterwards. Raises
    StartRefused if the database belongs to another service.
    """
    stored = await _stored_credentials(store, sealer, clock, scope, config)
    try:
        # Two first starts on one empty database detect each other only after one of them has stored its key.
        await require_own_database(store, sealer, issuer_ids, config.data_dir)
    except StartRefused:
        if stored is not None:
            await delete_access_key(store, clock, operator(scope), stored.access_key_id)
        raise
    wanted = config.data_dir / CREDENTIALS_WANTED
    if wanted.exists():
        if stored is None and config.root_access_key_id is None:
            await _take_credentials(store, sealer, scope, config.data_dir)
        wanted.unlink()


async def _stored_credentials(
    store: Store, sealer: SecretSealer, clock: Clock, scope: Scope, config: Config
) -> OperatorCredentials | None:
    """Write the administrator's key to the file and the database where it is missing; return it if it was stored.

    The file is written first. If the start is interrupted after that, the next start stores the key of the file.
    """
    if config.root_access_key_id is not None and config.root_secret_access_key is not None:
        origin = AccessKeyOrigin.PRESET
        credentials = OperatorCredentials(config.root_access_key_id, config.root_secret_access_key)
        if _read_credentials(config.data_dir) != credentials:
            write_credentials(config.data_dir, credentials)
    else:
        if await store.read(lambda: access_key_table.access_keys(None)):
            return None
        origin = AccessKeyOrigin.FIRST_START
        present = _read_credentials(config.data_dir)
        credentials = present or new_credentials()
        if present is None:
            write_credentials(config.data_dir, credentials)
    access_key_id, secret = credentials.access_key_id, credentials.secret_access_key
    is_stored = await ensure_administrator(store, sealer, clock, scope, access_key_id, secret, origin)
    return credentials if is_stored else None


async def _take_credentials(store: Store, sealer: SecretSealer, scope: Scope, data_dir: Path) -> None:
    """Write the administrator's key that another node has stored to the credentials file, unless it was deleted."""
    made = (AccessKeyOrigin.FIRST_START, AccessKeyOrigin.PRESET)
    for each in await store.read(lambda: access_key_table.access_keys(None)):
        if each.origin in made and each.account == scope.account:
            secret = sealer.unseal(each.sealed_secret, sealing_name(each.access_key_id)).decode()
            write_credentials(data_dir, OperatorCredentials(each.access_key_id, secret))
            return


async def require_own_database(store: Store, sealer: SecretSealer, issuer_ids: Collection[str], data_dir: Path) -> None:
    """Return if the database belongs to the keys of the data directory; raise StartRefused, saying what to do."""
    try:
        await database_keys.require_own_database(store, sealer, issuer_ids)
    except ForeignDatabase as error:
        raise foreign_database(data_dir, in_words(error)) from error


def foreign_database(data_dir: Path, shown_by: str) -> StartRefused:
    """Return the refusal of a database that belongs to other keys; ``shown_by`` is the evidence."""
    return StartRefused(
        f"the database does not belong to the keys in {data_dir}: {shown_by}. Nodes that share a database share the "
        "keys: give a new directory and the passphrase of the node that filled it, or copy keys/, certificates/ and "
        f"credentials of that node to {data_dir}, or use another database"
    )


def require_database(config: Config) -> None:
    """Raise StartRefused, saying what to do, if the database of this directory has disappeared.

    A new empty database would hide from operators that all certificates and access keys are lost.
    """
    database, credentials = config.data_dir / SQLITE_FILE_NAME, config.data_dir / CREDENTIALS
    if config.database_url is None and credentials.exists() and not database.exists():
        raise StartRefused(
            f"{database} is missing, and {credentials} shows that there was a registry: restore it from a backup. "
            f"To begin with an empty one, remove {credentials}, too"
        )


def read_hook_secret(path: Path | None) -> bytes | None:
    """Return the secret shared with webhooks, None where no file is given; raise StartRefused if it is too short."""
    secret = _secret(path)
    if secret is not None and len(secret) < MIN_SECRET_BYTES:
        raise StartRefused(f"hook_secret_file {path} must hold at least {MIN_SECRET_BYTES} bytes")
    return secret


def _secret(path: Path | None) -> bytes | None:
    try:
        return None if path is None else read_given(path).rstrip(b"\r\n")
    except OSError as error:
        raise StartRefused(f"hook_secret_file cannot be read: {in_words(error)}") from error


def new_credentials() -> OperatorCredentials:
    """Return a new access key in AWS's form: an id of twenty characters, and a secret of forty in Base64."""
    access_key_id = "AKIA" + "".join(secrets.choice(_LETTERS) for _ in range(16))
    return OperatorCredentials(access_key_id, secrets.token_urlsafe(30).replace("-", "+").replace("_", "/"))


def _read_credentials(data_dir: Path) -> OperatorCredentials | None:
    try:
        return read_credentials(data_dir)
    except ValueError as error:
        raise StartRefused(in_words(error)) from error
