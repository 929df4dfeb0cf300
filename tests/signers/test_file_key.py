"""A key from a file signs at once, in the form of X.509, and shows itself to nobody."""

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from tests.support.certificates.signers import at_once

from thingmint.issuance.keys.private_keys import KEY_TYPES, generate_private_key
from thingmint.signers.file_key import FileKeySigner

CONTENT = b"to be signed"


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()], ids=lambda each: each.name)
@pytest.mark.parametrize("key_type", ["ecdsa-p256", "ecdsa-p384", "rsa-2048"])
def test_signatures_of_each_kind_of_key_are_made_without_waiting_and_verify(
    key_type: str, algorithm: hashes.HashAlgorithm
) -> None:
    signer = FileKeySigner(generate_private_key(key_type))
    assert signer.is_in_process
    signature = at_once(signer.sign(CONTENT, algorithm))
    if isinstance(signer.public_key, rsa.RSAPublicKey):
        signer.public_key.verify(signature, CONTENT, padding.PKCS1v15(), algorithm)
    else:
        signer.public_key.verify(signature, CONTENT, ec.ECDSA(algorithm))


def test_no_text_of_a_signer_holds_its_key() -> None:
    private_key = KEY_TYPES["ecdsa-p256"]()
    assert isinstance(private_key, ec.EllipticCurvePrivateKey)
    secret = private_key.private_numbers().private_value
    pem = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    signer = FileKeySigner(private_key)
    for text in (repr(signer), str(signer)):
        assert str(secret) not in text
        assert f"{secret:x}" not in text
        assert pem.decode().splitlines()[1] not in text
