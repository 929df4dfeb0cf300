"""What callers and operators learn of an issuer's key that cannot be used."""

from thingmint.issuance.keys.signer import SignerUnavailable


def test_only_operators_learn_why_a_key_cannot_be_used() -> None:
    error = SignerUnavailable("/etc/thingmint/pin: no such file")
    assert error.message == str(error) == "The key of the issuer cannot be used now"
    assert error.reason == "/etc/thingmint/pin: no such file"
