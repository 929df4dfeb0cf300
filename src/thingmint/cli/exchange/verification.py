"""Owns the certificate that proves the possession of the CA's key to AWS IoT; its common name is the registration code.

The service issues it like any other certificate from a CSR, with entries in the registry and the audit trail. It is
created INACTIVE and deleted immediately. Its private key is discarded.
"""

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from thingmint.cli.connection import SignedClient
from thingmint.cli.devices.device import ListRefused
from thingmint.cli.issuing.station_keys import signing_request

_MAX_CHARACTERS = 64


def verification_certificate(client: SignedClient, registration_code: str) -> str:
    """Return the certificate in PEM; raise ListRefused for an invalid code, ServiceRefused, ServiceUnreachable."""
    if not registration_code.isalnum() or len(registration_code) > _MAX_CHARACTERS:
        raise ListRefused("the registration code is what `aws iot get-registration-code` prints: letters and digits")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, registration_code)])
    request = signing_request(ec.generate_private_key(ec.SECP256R1()), name)
    body = {"certificateSigningRequest": request}
    answer = client.call("POST", "/certificates", {"setAsActive": "false"}, body)
    client.call("DELETE", f"/certificates/{answer['certificateId']}", {})
    return str(answer["certificatePem"])
