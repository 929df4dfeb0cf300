"""Owns the table of operations on certificates, CA certificates, their transfer and certificate providers."""

from thingmint.api.certificates import (
    ca_certificates,
    certificate_providers,
    certificates,
    registered_certificates,
    registration_codes,
    transfers,
)
from thingmint.api.wire.operation import Implemented, operation
from thingmint.api.wire.permissions import passes_role
from thingmint.api.wire.resources import id_in_path, in_path
from thingmint.registration.kernel.authority import RegistrationAuthority

_CA_CERTIFICATE = id_in_path("cacert", "caCertificateId")
_CERTIFICATE = id_in_path("cert", "certificateId")
_PROVIDER = in_path("certificateprovider", "certificateProviderName")
_PASSES_ROLE = passes_role("registrationConfig", "roleArn")

OPERATIONS: tuple[Implemented[RegistrationAuthority], ...] = (
    operation(certificates.create_keys_and_certificate),
    operation(certificates.create_certificate_from_csr),
    operation(certificates.describe_certificate, _CERTIFICATE),
    operation(certificates.list_certificates),
    operation(certificates.update_certificate, _CERTIFICATE),
    operation(certificates.delete_certificate, _CERTIFICATE),
    operation(registered_certificates.register_certificate),
    operation(registered_certificates.register_certificate_without_ca),
    operation(registered_certificates.list_certificates_by_ca),
    operation(transfers.transfer_certificate, _CERTIFICATE),
    operation(transfers.accept_certificate_transfer, _CERTIFICATE),
    operation(transfers.reject_certificate_transfer, _CERTIFICATE),
    operation(transfers.cancel_certificate_transfer, _CERTIFICATE),
    operation(transfers.list_outgoing_certificates),
    operation(ca_certificates.register_ca_certificate, further=_PASSES_ROLE),
    operation(ca_certificates.describe_ca_certificate, _CA_CERTIFICATE),
    operation(ca_certificates.list_ca_certificates),
    operation(ca_certificates.update_ca_certificate, _CA_CERTIFICATE, further=_PASSES_ROLE),
    operation(ca_certificates.delete_ca_certificate, _CA_CERTIFICATE),
    operation(registration_codes.get_registration_code),
    operation(registration_codes.delete_registration_code),
    operation(certificate_providers.create_certificate_provider, _PROVIDER),
    operation(certificate_providers.describe_certificate_provider, _PROVIDER),
    operation(certificate_providers.update_certificate_provider, _PROVIDER),
    operation(certificate_providers.delete_certificate_provider, _PROVIDER),
    operation(certificate_providers.list_certificate_providers),
)
