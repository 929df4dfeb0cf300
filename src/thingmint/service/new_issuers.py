"""Owns the work of the commands for issuers: makes keys and certificates, checks imported ones, stores the records.

Each function may be interrupted at any point. Stored records are complete. A key in a token is recorded in the database
before it is made, so that no key without a record is left behind.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from msgspec import Struct, structs

from thingmint.core.error_text import in_words
from thingmint.core.errors import InvalidRequest, UpdateConflict
from thingmint.core.issuer import IssuerRecord, IssuerStatus, KeyPlace
from thingmint.data_directory.certificate_files import pem_of
from thingmint.data_directory.files import DirectoryInUse, held
from thingmint.issuance.authorities.issuer_chain import checked_chain
from thingmint.issuance.authorities.issuer_request import issuer_request, issuer_subject, require_root
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit, issuer_id_of
from thingmint.issuance.authorities.trust_anchor import create_issuing_ca
from thingmint.issuance.issuer import Issuer, ValidityExhausted
from thingmint.issuance.keys.key_pairs import PublicKey, load_public_key
from thingmint.issuance.keys.private_keys import generate_private_key
from thingmint.issuance.profiles.profile import ProfileConfig, certificate_profile
from thingmint.public.addresses import root_addresses_below
from thingmint.registration.issuers import issuers
from thingmint.service.issuers.known_issuers import follow_on_disk, sealed_key
from thingmint.service.opening import Registry, serial_numbers
from thingmint.service.start.first_credentials import operator
from thingmint.settings.config import StartRefused
from thingmint.signers.pkcs11 import destroy_in_token, generate_in_token
from thingmint.signers.token_uri import TokenURI, TokenURIRefused, parse_token_uri

_LABEL = "thingmint-issuer"


class WantedIssuer(Struct, frozen=True):
    """The properties of a new issuer.

    ``token`` is the URI of a PKCS#11 token for its key, ``profile`` a table like [profile]; None means the profile of
    the settings.
    """

    key_type: str
    token: str | None = None
    subject: str | None = None
    end: datetime | None = None
    profile: dict[str, object] | None = None


async def create(registry: Registry, wanted: WantedIssuer) -> IssuerRecord:
    """Create an issuer that is certified by the service's root; return it with the status ready."""
    pending = await _with_key(registry, wanted)
    ready = _certified(registry, wanted, pending)
    if pending.key_place is KeyPlace.TOKEN:
        await issuers.complete(registry.store, operator(registry.scope), ready.created_at, pending, ready)
    else:
        await issuers.add(registry.store, operator(registry.scope), ready.created_at, "CreateIssuer", [ready])
    return ready


async def rotate(registry: Registry, wanted: WantedIssuer) -> IssuerRecord:
    """Create an issuer that replaces the active one; if two nodes do this at once, one of them is refused."""
    before = _active(await issuers.list_issuers(registry.store))
    if wanted.token is not None:
        ready = await create(registry, wanted)
        await _activate(registry, ready, before)
        return ready
    ready = _certified(registry, wanted, await _with_key(registry, wanted))
    await _require_issues(registry, ready)
    return await issuers.add_active(registry.store, operator(registry.scope), ready.created_at, ready, before)


async def request(registry: Registry, wanted: WantedIssuer) -> tuple[IssuerRecord, bytes]:
    """Create an issuer that another authority will certify; return it, and its CSR as PEM."""
    pending = await _with_key(registry, wanted)
    if pending.key_place is not KeyPlace.TOKEN:
        await issuers.add(registry.store, operator(registry.scope), pending.created_at, "RequestIssuer", [pending])
    return pending, await _request_of(registry, pending, wanted.subject)


async def request_again(registry: Registry, name: str, subject: str | None) -> tuple[IssuerRecord, bytes]:
    """Return a pending issuer, and a CSR for it as PEM."""
    pending = await named(registry, name, IssuerStatus.PENDING)
    if pending.public_key is None:
        pending = await _with_key_in_token(registry, pending)
    return pending, await _request_of(registry, pending, subject)


async def import_chain(registry: Registry, name: str, text: bytes) -> IssuerRecord:
    """Give a pending issuer its certificate and those above it; return it with the status ready."""
    pending = await named(registry, name, IssuerStatus.PENDING)
    if pending.public_key is None:
        raise InvalidRequest(f"The key of issuer {pending.name} was not made yet: `thingmint issuer csr` makes it")
    at = _now(registry)
    chain = checked_chain(text, _public_key(pending), at, registry.authorities.root)
    for each in registry.issuers:
        is_namesake = each.chain[0].subject == chain[0].subject
        if is_namesake and each.chain[0].public_key() != chain[0].public_key():
            raise IssuerUnfit(f"issuer {each.record.name} has the same name and another key")
    ready = _ready(pending, chain)
    await issuers.complete(registry.store, operator(registry.scope), at, pending, ready)
    return ready


async def activate(registry: Registry, name: str) -> IssuerRecord:
    """Make a ready issuer the active one; return its record from before the change."""
    records = await issuers.list_issuers(registry.store)
    ready = await named(registry, name, IssuerStatus.READY)
    await _activate(registry, ready, _active(records))
    return ready


async def retire(registry: Registry, name: str, *, destroy_key: bool) -> IssuerRecord:
    """Retire an issuer, or delete a pending one; destroy its key if that is requested and allowed."""
    record = await named(registry, name, None)
    caller, at = operator(registry.scope), _now(registry)
    if record.status is IssuerStatus.PENDING:
        await _destroy_in_token(registry, record)
    await issuers.retire(registry.store, caller, at, record)
    if destroy_key and record.status is not IssuerStatus.PENDING:
        record = await named(registry, record.reference, None)
        await issuers.destroy_key(registry.store, caller, at, record)
        await _destroy_in_token(registry, record)
    return record


async def named(registry: Registry, name: str, status: IssuerStatus | None) -> IssuerRecord:
    """Return the issuer whose name is or begins with ``name``; raise InvalidRequest if it has another status."""
    found = issuers.named(await issuers.list_issuers(registry.store), name)
    if status is not None and found.status is not status:
        raise InvalidRequest(f"Issuer {found.name} is {found.status}, not {status}")
    return found


async def follow(registry: Registry) -> None:
    """Update the files of the data directory, unless a service runs on it, which does this itself."""
    try:
        with held(registry.config.data_dir, "thingmint issuer"):
            known = registry.sources.known(await issuers.list_issuers(registry.store))
            follow_on_disk(registry.config.data_dir, registry.authorities, known, registry.clock.now())
    except DirectoryInUse:
        return


async def _with_key(registry: Registry, wanted: WantedIssuer) -> IssuerRecord:
    """Return a pending issuer with a new key. If the key is in a token, the issuer is stored."""
    if wanted.profile is not None:
        certificate_profile(ProfileConfig.from_table(wanted.profile))
    token = None if wanted.token is None else _token_of(wanted.token)
    # 128 bits; the issuer's own certificate is not known yet.
    reference = secrets.token_hex(16)
    pending = IssuerRecord(
        reference=reference,
        issuer_id=None,
        status=IssuerStatus.PENDING,
        key_type=wanted.key_type,
        key_place=KeyPlace.DATABASE,
        sealed_key=None,
        token_uri=None,
        public_key=None,
        chain_pem="",
        profile=None if wanted.profile is None else json.dumps(wanted.profile),
        created_at=_now(registry),
    )
    if token is None:
        private_key = generate_private_key(wanted.key_type)
        sealed = sealed_key(registry.sealer, reference, private_key)
        return replace(pending, sealed_key=sealed, public_key=_pem(private_key.public_key()))
    uri = structs.replace(token, label=token.label or _LABEL, key_id=bytes.fromhex(reference))
    pending = replace(pending, key_place=KeyPlace.TOKEN, token_uri=str(uri))
    registry.sources.tokens.token(uri)
    await issuers.add(registry.store, operator(registry.scope), pending.created_at, "RequestIssuer", [pending])
    return await _with_key_in_token(registry, pending)


def _token_of(uri: str) -> TokenURI:
    try:
        return parse_token_uri(uri)
    except TokenURIRefused as error:
        raise StartRefused(in_words(error)) from error


async def _with_key_in_token(registry: Registry, pending: IssuerRecord) -> IssuerRecord:
    uri = parse_token_uri(pending.token_uri or "")
    token = registry.sources.tokens.token(uri)
    public_key = await generate_in_token(token, pending.key_type, uri.key_id or b"", uri.label or _LABEL)
    after = replace(pending, public_key=_pem(public_key))
    await issuers.complete(registry.store, operator(registry.scope), pending.created_at, pending, after)
    return after


def _certified(registry: Registry, wanted: WantedIssuer, pending: IssuerRecord) -> IssuerRecord:
    """Return the issuer with a certificate from the service's root."""
    at = _now(registry)
    root = registry.root_authority()
    require_root(root.certificate, at)
    if wanted.end is not None and wanted.end <= at:
        raise IssuerUnfit("the issuer would end before it begins")
    public_key = _public_key(pending)
    subject = issuer_subject(public_key, wanted.subject)
    addresses = root_addresses_below(registry.config.public_url)(root.certificate)
    certificate = create_issuing_ca(
        root, public_key, serial_numbers(), at, subject=subject, end=wanted.end, addresses=addresses
    )
    return _ready(pending, (certificate,))


def _ready(pending: IssuerRecord, chain: Sequence[x509.Certificate]) -> IssuerRecord:
    return replace(
        pending, status=IssuerStatus.READY, issuer_id=issuer_id_of(chain[0]), chain_pem=pem_of(*chain).decode()
    )


async def _activate(registry: Registry, ready: IssuerRecord, before: IssuerRecord) -> None:
    await _require_issues(registry, ready)
    await issuers.activate(registry.store, operator(registry.scope), _now(registry), ready, before)


async def _require_issues(registry: Registry, record: IssuerRecord) -> None:
    """Return if the issuer can issue certificates of its profile now; raise IssuerUnfit or ServiceUnavailable."""
    active = replace(record, status=IssuerStatus.ACTIVE)
    ca = registry.sources.known([active]).active.ca
    profile = registry.sources.profile_of(record)
    issuer = Issuer(ca, profile, shortens=registry.config.at_issuer_end == "shorten")
    if ca.signer is not None:
        await ca.signer.check()
    try:
        issuer.validity_at(registry.clock.now())
    except ValidityExhausted as error:
        raise IssuerUnfit(
            f"{in_words(error)}: give it a profile with fewer validity_days, or set at_issuer_end = shorten"
        ) from error


async def _request_of(registry: Registry, pending: IssuerRecord, subject: str | None) -> bytes:
    public_key = _public_key(pending)
    signer = registry.sources.signer_of(pending, public_key)
    if signer is None:
        raise StartRefused(f"the key of issuer {pending.name} is not at hand")
    return await issuer_request(signer, issuer_subject(public_key, subject))


async def _destroy_in_token(registry: Registry, record: IssuerRecord) -> None:
    if record.token_uri is not None:
        uri = parse_token_uri(record.token_uri)
        await destroy_in_token(registry.sources.tokens.token(uri), uri.key_id or b"")


def _active(records: Sequence[IssuerRecord]) -> IssuerRecord:
    found = next((each for each in records if each.status is IssuerStatus.ACTIVE), None)
    if found is None:
        raise UpdateConflict("No issuer is active: start the service first")
    return found


def _now(registry: Registry) -> datetime:
    """Return the time; raise ServiceUnavailable if this machine's clock cannot be trusted."""
    registry.clock.require_right()
    return registry.clock.now()


def _public_key(record: IssuerRecord) -> PublicKey:
    assert record.public_key is not None
    return load_public_key(_der(record.public_key))


def _der(pem: str) -> bytes:
    return serialization.load_pem_public_key(pem.encode()).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _pem(public_key: PublicKey) -> str:
    return public_key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
