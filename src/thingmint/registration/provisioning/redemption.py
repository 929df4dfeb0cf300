"""Owns the use of an ownership token for one RegisterThing request. Repetitions of the request get the same answer.

The row of the token decides, so that of two concurrent requests on two nodes only one is the first.
"""

from __future__ import annotations

import json

from msgspec import Struct

from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.errors import RegistrationFailed
from thingmint.core.identifiers import ThingName
from thingmint.core.provisioning.ownership import Ownership, OwnershipTokenInvalid, OwnershipUse, answer_name
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.provisioning import claims as claim_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning.ownership import ownership_of_new
from thingmint.registration.provisioning.provisioning import Provisioned

# A certificate that an operator has revoked or is transferring gets no answer, not even an earlier one.
_ANSWERED = frozenset({CertificateStatus.ACTIVE, CertificateStatus.INACTIVE})


class Redemption(Struct, frozen=True):
    """A token with its request. Implements `provisioning.Once`."""

    authority: RegistrationAuthority
    ownership: Ownership
    request_digest: str

    async def read(self) -> tuple[Certificate, Provisioned | None]:
        """Return the token's certificate, and the result of the same earlier request.

        Raises OwnershipTokenInvalid if the certificate was deleted or another request has used the token,
        RegistrationFailed if the request has a result and the certificate is neither active nor inactive now.
        """

        def program() -> Steps[tuple[Certificate, Provisioned | None]]:
            certificate = yield from self._certificate()
            use = yield from self._use()
            return certificate, None if use.request_digest is None else self._earlier(certificate, use)

        return await self.authority.store.read(program)

    def begin(self) -> Steps[Provisioned | None]:
        """Return the result of the same earlier request, or lock the token and return None; raise as `read`."""
        if (yield from claim_table.take_ownership(self.ownership, self.request_digest)):
            return None
        use = yield from self._use()
        return self._earlier((yield from self._certificate()), use)

    def end(self, done: Provisioned) -> Steps[None]:
        """Store the result of the request, sealed because the device's configuration can have secrets."""
        answer = [done.thing_name, dict(done.resource_arns), dict(done.device_configuration)]
        sealed = self.authority.sealer.seal(json.dumps(answer).encode(), answer_name(self.ownership))
        yield from claim_table.record_answer(self.ownership, sealed)

    def _certificate(self) -> Steps[Certificate]:
        found = yield from certificate_table.certificate(self.ownership.scope, self.ownership.certificate_id)
        # If its operator has deleted and registered it again, it is no longer the certificate of the token.
        if found is None or ownership_of_new(found) != self.ownership:
            raise OwnershipTokenInvalid("The certificate of the ownership token does not exist any more.")
        return found

    def _use(self) -> Steps[OwnershipUse]:
        use = yield from claim_table.ownership_use(self.ownership)
        if use is None:
            raise OwnershipTokenInvalid("Certificate ownership token has expired.")
        if use.request_digest not in (None, self.request_digest):
            raise OwnershipTokenInvalid("Certificate ownership token has been used for another request.")
        return use

    def _earlier(self, certificate: Certificate, use: OwnershipUse) -> Provisioned:
        if certificate.status not in _ANSWERED:
            raise RegistrationFailed(f"The certificate {certificate.certificate_id} is {certificate.status}")
        assert use.sealed_answer is not None, "a request and its answer are noted in one transaction"
        answer = json.loads(self.authority.sealer.unseal(use.sealed_answer, answer_name(self.ownership)))
        thing_name, resource_arns, device_configuration = answer
        return Provisioned(
            certificate, None if thing_name is None else ThingName(thing_name), resource_arns, device_configuration
        )
