"""URIs of tokens are read as RFC 7512 writes them; what would bring code or a PIN from the database is refused."""

import pytest

from thingmint.signers.token_uri import TokenURI, TokenURIRefused, parse_token_uri


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("pkcs11:token=devices", TokenURI((("token", "devices"),))),
        ("pkcs11:serial=12ab;token=a%20b", TokenURI((("token", "a b"), ("serial", "12ab")))),
        (
            "pkcs11:model=m;manufacturer=x;token=t;object=key%3B1;type=private;id=%01%fe",
            TokenURI((("token", "t"), ("manufacturer", "x"), ("model", "m")), "key;1", b"\x01\xfe"),
        ),
    ],
)
def test_a_uri_is_read_and_written_again(text: str, uri: TokenURI) -> None:
    assert parse_token_uri(text) == uri
    assert parse_token_uri(str(uri)) == uri


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is written like"),
        ("file:token=x", "is written like"),
        ("pkcs11", "is written like"),
        ("pkcs11:token=" + "x" * 2000, "is written like"),
        ("pkcs11:token=x?module-path=/tmp/evil.so", "pkcs11_module"),
        ("pkcs11:token=x?pin-value=1234", "pkcs11_pin_file"),
        ("pkcs11:token=x;token=y", "is written once"),
        ("pkcs11:token", "is written once"),
        ("pkcs11:token=x;slot-id=1", "'slot-id', which is not supported"),
        ("pkcs11:token=x;type=cert", "another type of object"),
        ("pkcs11:token=%ff", "is not UTF-8"),
        ("pkcs11:object=x", "must name a token"),
    ],
)
def test_what_is_no_usable_uri_is_refused_without_secrets(text: str, reason: str) -> None:
    with pytest.raises(TokenURIRefused, match=reason) as refused:
        parse_token_uri(text)
    assert "1234" not in str(refused.value)
