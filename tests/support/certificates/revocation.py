"""Owns what tests of revocation share: an authority whose clock moves, a publisher without pauses, what is listed."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from msgspec import structs
from tests.support.databases.memory_store import MemoryStore
from tests.support.databases.stores import sample_certificate
from tests.support.registration.authority import caller_with, issuers_of, new_authority, new_issuing_ca
from tests.support.services.recorded_log import RecordedLog

from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.certificates.revocation_list import ListName, ListState
from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import CertificateId, SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuingCA
from thingmint.registration.certificates import certificates
from thingmint.registration.certificates.issuing import insert_issued
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.ports import Store
from thingmint.registration.revocation.published import PublishedLists
from thingmint.registration.revocation.publisher import Publisher
from thingmint.registration.revocation.terms import CRLIssuer, RevocationTerms

CALLER = caller_with()
BEGIN = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)


@dataclass
class MovingClock:
    """A `ports.Clock` that tests move."""

    at: datetime = BEGIN

    def now(self) -> datetime:
        """Return the time that was set."""
        return self.at

    def go(self, **by: float) -> None:
        """Move the time."""
        self.at += timedelta(**by)


@dataclass
class Observed:
    """A `RevocationObserver` that remembers, and a log."""

    written: int = 0
    failed: list[str] = field(default_factory=list)
    given_out: list[ListState] = field(default_factory=list)
    answered: list[tuple[str, bool]] = field(default_factory=list)
    log: RecordedLog = field(default_factory=RecordedLog)
    forgotten: list[tuple[str | None, SerialNumber | None]] = field(default_factory=list)

    def list_written(self, seconds: float) -> None:
        """Count."""
        assert seconds >= 0
        self.written += 1

    def list_failed(self, issuer_id: str) -> None:
        """Remember."""
        self.failed.append(issuer_id)

    def list_given_out(self, state: ListState, octets: int) -> None:
        """Remember."""
        assert octets > 0
        self.given_out.append(state)

    def status_answered(self, status: str, *, is_cached: bool) -> None:
        """Remember."""
        self.answered.append((status, is_cached))

    def forget(self, issuer_id: str | None, serial_number: SerialNumber | None) -> None:
        """Remember what was to be forgotten."""
        self.forgotten.append((issuer_id, serial_number))


@dataclass
class Registry:
    """A registry of one issuer, with a clock of its own."""

    authority: RegistrationAuthority
    clock: MovingClock
    ca: IssuingCA
    clock_is_right: bool = True

    @property
    def name(self) -> ListName:
        """The issuer's complete list."""
        return ListName(self.ca.issuer_id)

    async def add(
        self,
        *numbers: int,
        status: CertificateStatus = CertificateStatus.ACTIVE,
        ends_in: timedelta = timedelta(days=365),
    ) -> list[Certificate]:
        """Record certificates with these serial numbers, as if the issuer had signed them."""
        now = self.clock.now()
        added = [
            replace(
                sample_certificate(number, scope=CALLER.scope),
                issuer_id=self.ca.issuer_id,
                serial_number=SerialNumber(number),
                status=status,
                created_at=now,
                not_after=now + ends_in,
            )
            for number in numbers
        ]
        for certificate in added:
            await self.authority.store.write(lambda certificate=certificate: insert_issued(certificate, None))  # type: ignore[misc]  # mypy infers no lambda with defaults
        return added

    async def set(self, certificate: Certificate, status: CertificateStatus) -> None:
        """Change a status as UpdateCertificate does."""
        await certificates.update_status(self.authority, CALLER, CertificateId(certificate.certificate_id), status)

    def require_right_clock(self) -> None:
        """Raise ServiceUnavailable while the clock is said to be wrong."""
        if not self.clock_is_right:
            raise ServiceUnavailable("the clock is wrong")


def new_registry(store: Store | None = None, ca: IssuingCA | None = None) -> Registry:
    """Return a registry with an issuer of its own, on this store."""
    clock, ca = MovingClock(), ca or new_issuing_ca()
    registry = Registry(new_authority(), clock, ca)
    registry.authority = structs.replace(
        new_authority(),
        store=store or MemoryStore(),
        clock=clock,
        issuers=issuers_of(ca),
        require_right_clock=registry.require_right_clock,
    )
    return registry


@dataclass
class Publishing:
    """A publisher of a node, and what it was seen doing."""

    publisher: Publisher
    observed: Observed

    async def listed(self, name: ListName) -> x509.CertificateRevocationList:
        """Take a turn, and return a list."""
        await self.publisher.turn()
        return self.now_listed(name)

    def now_listed(self, name: ListName) -> x509.CertificateRevocationList:
        """Return a list as this node gives it out."""
        published = self.publisher.published.get(name)
        assert published is not None
        return x509.load_der_x509_crl(published.der)

    async def numbers(self, name: ListName) -> set[int]:
        """Take a turn, and return the serial numbers in a list."""
        return {each.serial_number for each in await self.listed(name)}


def new_publisher(
    registry: Registry,
    terms: RevocationTerms | None = None,
    *,
    owner: str = "node",
    cas: Iterable[IssuingCA] | None = None,
) -> Publishing:
    """Return a publisher of the registry's issuer that never pauses."""
    observed = Observed()
    revokers = tuple(map(CRLIssuer, (registry.ca,) if cas is None else cas))
    publisher = Publisher(
        registry.authority,
        PublishedLists(observed.list_given_out),
        lambda: revokers,
        terms or RevocationTerms(),
        owner,
        observed.forget,
        observed,
        observed.log,
        # Time that stands still needs no rest.
        seconds=lambda: 0.0,
    )
    return Publishing(publisher, observed)
