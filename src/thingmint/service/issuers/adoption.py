"""Owns the adoption of a data directory's issuers into the database, and the check that both belong together."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from thingmint.core.caller import Caller
from thingmint.core.issuer import IssuerRecord, IssuerStatus
from thingmint.registration.issuers.issuers import add, add_active, list_issuers
from thingmint.registration.kernel.ports import SecretSealer, Store
from thingmint.service.start.first_credentials import foreign_database, require_own_database

_ACTION = "AdoptIssuer"


async def records_in_force(
    store: Store,
    sealer: SecretSealer,
    in_files: Sequence[IssuerRecord],
    caller: Caller,
    at: datetime,
    data_dir: Path,
    *,
    may_write: bool,
) -> Sequence[IssuerRecord]:
    """Store issuers of the data directory that the database does not have yet; return all issuers of the database.

    Only the process that holds the directory may write; others get the result without storing it. Raises StartRefused
    if the database belongs to another service.
    """
    records = await list_issuers(store)
    await _require_own(store, sealer, records, in_files, data_dir)
    known = _ids(records)
    missing = [each for each in in_files if each.issuer_id not in known]
    if not missing or not may_write:
        return records or in_files
    if not records:
        await add(store, caller, at, None, missing)
    else:
        await _add_later(store, caller, at, records, in_files)
    records = await list_issuers(store)
    # Two services may start for the first time on one empty database: the second one is refused.
    await _require_own(store, sealer, records, in_files, data_dir)
    return records


async def _add_later(
    store: Store, caller: Caller, at: datetime, records: Sequence[IssuerRecord], in_files: Sequence[IssuerRecord]
) -> None:
    """Store the issuers that were put into the directory after the database had its first ones."""
    known = _ids(records)
    first = in_files[0]
    before = next((each for each in records if each.status is IssuerStatus.ACTIVE), None)
    is_replaced = before is not None and before.issuer_id in _ids(in_files[1:])
    if first.status is IssuerStatus.ACTIVE and first.issuer_id not in known and before is not None and is_replaced:
        # An operator moved the active issuer's files to the retired ones, and this start made another issuer.
        await add_active(store, caller, at, first, before)
    later = [replace(each, status=IssuerStatus.RETIRED, retired_at=at) for each in in_files]
    await add(store, caller, at, _ACTION, [each for each in later if each.issuer_id not in known])


async def _require_own(
    store: Store,
    sealer: SecretSealer,
    records: Sequence[IssuerRecord],
    in_files: Sequence[IssuerRecord],
    data_dir: Path,
) -> None:
    in_database, here = _ids(records), _ids(in_files)
    is_shared = not records or bool(in_database & here)
    await require_own_database(store, sealer, here | in_database if is_shared else here, data_dir)
    if not is_shared:
        raise foreign_database(data_dir, "none of the issuers in it is in the data directory")


def _ids(records: Sequence[IssuerRecord]) -> set[str]:
    return {each.issuer_id for each in records if each.issuer_id is not None}
