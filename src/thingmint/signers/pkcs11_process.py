"""Owns one session with a PKCS#11 token, in a separate process that `pkcs11` starts and that ends when its input ends.

A PKCS#11 module is a vendor's code in C. python-pkcs11 initialises it for one thread, so one process has one session. A
module that crashes ends this process and not the service. The first line of the input names the token, and each other
line is a request. Each line gets one line as its answer. All lines are JSON objects; octets are hexadecimal.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import pkcs11
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa, utils
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters

from thingmint.host.given_files import read_given_text
from thingmint.host.hardening import harden_process

# The names in SEC 2 of the two curves that issuers may use, by the values of the setting `ca_key_type`.
_CURVES = {"ecdsa-p256": "secp256r1", "ecdsa-p384": "secp384r1"}
_RSA_BITS = {"rsa-2048": 2048, "rsa-3072": 3072, "rsa-4096": 4096}
_HASHES: Mapping[str, Callable[[], hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
# The names that python-pkcs11 has for the attributes of RFC 7512.
_FIELDS = {"token": "label", "serial": "serial", "manufacturer": "manufacturer_id", "model": "model"}


class TokenNotFound(Exception):
    """No token, or more than one, has the given attributes."""


def main() -> None:
    """Open the token, then answer requests. After an error, answer with its name and end the process."""
    harden_process()
    opened: pkcs11.Session | None = None
    for line in sys.stdin:
        try:
            question = json.loads(line)
            if opened is None:
                opened = _open(question)
                answer = {"octets": ""}
            else:
                answer = {"octets": _WORK[question["do"]](opened, question).hex()}
        except Exception as error:  # noqa: BLE001  the service learns every error by its name
            # The type's name alone: texts of a library's errors may quote their arguments.
            print(json.dumps({"error": type(error).__name__}), flush=True)  # noqa: T201  the answer
            return
        print(json.dumps(answer), flush=True)  # noqa: T201  the answer


def _open(question: Mapping[str, str]) -> pkcs11.Session:
    wanted = {name: value for name, value in question.items() if name in _FIELDS}
    found = [
        token
        for token in pkcs11.lib(question["module"]).get_tokens()
        if all(_text(getattr(token, _FIELDS[name])) == value for name, value in wanted.items())
    ]
    if len(found) != 1:
        raise TokenNotFound
    pin = read_given_text(Path(question["pin_file"])).rstrip("\r\n")
    return found[0].open(rw=True, user_pin=pin)


def _generate(session: pkcs11.Session, question: Mapping[str, str]) -> bytes:
    """Return the SubjectPublicKeyInfo of the key pair with this id; generate the key pair if it does not exist."""
    key_id, label, key_type = bytes.fromhex(question["id"]), question["label"], question["key_type"]
    if not any(True for _ in session.get_objects({Attribute.ID: key_id})):
        secret = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
        if key_type in _CURVES:
            curve = {Attribute.EC_PARAMS: encode_named_curve_parameters(_CURVES[key_type])}
            parameters = session.create_domain_parameters(KeyType.EC, curve, local=True)
            parameters.generate_keypair(store=True, id=key_id, label=label, private_template=secret)
        else:
            bits = _RSA_BITS[key_type]
            session.generate_keypair(KeyType.RSA, bits, store=True, id=key_id, label=label, private_template=secret)
    return _public_key(session, key_id)


def _public_key(session: pkcs11.Session, key_id: bytes) -> bytes:
    key = cast("pkcs11.PublicKey", session.get_key(object_class=ObjectClass.PUBLIC_KEY, id=key_id))
    if key.key_type is not KeyType.RSA:
        return bytes(encode_ec_public_key(key))
    modulus, exponent = (int.from_bytes(key[name], "big") for name in (Attribute.MODULUS, Attribute.PUBLIC_EXPONENT))
    public_key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    return public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _sign(session: pkcs11.Session, question: Mapping[str, str]) -> bytes:
    found = session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=bytes.fromhex(question["id"]))
    key = cast("pkcs11.SignMixin", found)
    content, name = bytes.fromhex(question["content"]), question["hash"]
    if found.key_type is KeyType.RSA:
        return bytes(key.sign(content, mechanism=Mechanism[f"{name.upper()}_RSA_PKCS"]))
    digest = hashes.Hash(_HASHES[name]())
    digest.update(content)
    # FIPS 186-5, 6.4.1: if a digest is longer than the order of the curve, its leftmost bits are used.
    raw = bytes(key.sign(digest.finalize()[: int(question["octets"])], mechanism=Mechanism.ECDSA))
    half = len(raw) // 2
    # PKCS #11, 2.3.1: the token concatenates r and s; X.509 has them in a SEQUENCE.
    return utils.encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))


def _check(session: pkcs11.Session, question: Mapping[str, str]) -> bytes:
    session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=bytes.fromhex(question["id"]))
    return b""


def _destroy(session: pkcs11.Session, question: Mapping[str, str]) -> bytes:
    for each in list(session.get_objects({Attribute.ID: bytes.fromhex(question["id"])})):
        each.destroy()
    return b""


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace").strip() if isinstance(value, bytes) else value.strip()


_WORK: Mapping[str, Callable[[pkcs11.Session, Mapping[str, str]], bytes]] = {
    "generate": _generate,
    "sign": _sign,
    "check": _check,
    "destroy": _destroy,
}


if __name__ == "__main__":
    main()
