"""The certificate profile: what AWS IoT issues by default, and each setting's refusal by name."""

import tomllib
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.support.certificates.profiles import default_profile

from thingmint.issuance.profiles.profile import ProfileConfig, ProfileError, certificate_profile


def from_toml(text: str) -> ProfileConfig:
    return ProfileConfig.from_table(tomllib.loads(text))


def test_the_default_is_what_aws_issues() -> None:
    profile = default_profile()
    assert profile.subject.public_bytes() == b"\x30\x1e\x31\x1c\x30\x1a\x06\x03\x55\x04\x03\x0c\x13AWS IoT Certificate"
    assert profile.backdate == timedelta(seconds=120)
    assert profile.not_after == datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert profile.valid_for is None
    assert profile.key_usage.digital_signature
    assert profile.extended_key_usage is None
    assert isinstance(profile.signature_hash, hashes.SHA256)


def test_every_setting_can_be_given_in_a_table() -> None:
    profile = certificate_profile(
        from_toml(
            """
            subject = "CN=Pump,O=Acme"
            backdate_seconds = 0
            validity_days = 365
            key_usage = ["digitalSignature", "keyEncipherment"]
            extended_key_usage = ["clientAuth", "1.3.6.1.4.1.99999.1", "clientAuth"]
            signature_hash = "sha384"
            """
        )
    )
    assert profile.subject.rfc4514_string() == "CN=Pump,O=Acme"
    assert profile.backdate == timedelta(0)
    assert profile.not_after is None
    assert profile.valid_for == timedelta(days=365)
    assert profile.key_usage.key_encipherment
    assert profile.extended_key_usage is not None
    assert list(profile.extended_key_usage) == [
        ExtendedKeyUsageOID.CLIENT_AUTH,
        x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"),
    ]
    assert isinstance(profile.signature_hash, hashes.SHA384)


@pytest.mark.parametrize("written", ['"2030-01-02T03:04:05Z"', "2030-01-02T04:04:05.7+01:00"])
def test_an_end_is_text_or_a_time_of_toml(written: str) -> None:
    profile = certificate_profile(from_toml(f"not_after = {written}"))
    assert profile.not_after == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize("name", [field.name for field in fields(ProfileConfig)])
def test_every_setting_has_a_type(name: str) -> None:
    with pytest.raises(ProfileError, match=f"profile.{name} must be"):
        ProfileConfig.from_table({name: 1.5})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("colour = 1", "profile.colour is no setting; there are subject"),
        ("validity_days = true", "profile.validity_days must be a whole number"),
        ("key_usage = [1]", "profile.key_usage must be a list of names"),
        ("subject = []", "profile.subject must be text"),
        ("subject = ''", "profile.subject must not be empty"),
        ("subject = 'hello'", "profile.subject must be a name like"),
        ("subject = 'XY=1'", "profile.subject must be a name like"),
        ("subject = 'O=" + "x" * 65 + "'", "profile.subject: The subject's organizationName has 65"),
        ("subject = 'O=" + "設" * 65 + "'", "profile.subject: The subject's organizationName has 65 characters"),
        ("backdate_seconds = -1", "profile.backdate_seconds must be 0 to 86400"),
        ("backdate_seconds = 86401", "profile.backdate_seconds must be 0 to 86400"),
        ("not_after = 'soon'", "profile.not_after must be a time like"),
        ("not_after = '2030-01-01T00:00:00'", "profile.not_after must say its time zone"),
        ("not_after = 2030-01-01T00:00:00", "profile.not_after must say its time zone"),
        ("not_after = '2030-01-01T00:00:00Z'\nvalidity_days = 1", "exclude each other"),
        ("validity_days = 0", "profile.validity_days must be 1 to 36525"),
        ("validity_days = 36526", "profile.validity_days must be 1 to 36525"),
        ("key_usage = ['keyCertSign']", "profile.key_usage may have digitalSignature"),
        ("key_usage = ['keyEncipherment']", "profile.key_usage must have digitalSignature"),
        ("extended_key_usage = ['serverAuth']", "profile.extended_key_usage may have clientAuth"),
        ("extended_key_usage = ['1.3.6.1.5.5.7.3.1']", "devices would pass as servers"),
        ("extended_key_usage = ['2.5.29.37.0']", "devices would pass as servers"),
        ("extended_key_usage = ['0.99.1']", "profile.extended_key_usage may have clientAuth"),
        ("signature_hash = 'sha1'", "profile.signature_hash must be one of sha256"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_by_name(text: str, reason: str) -> None:
    with pytest.raises(ProfileError, match=reason):
        certificate_profile(from_toml(text))


def test_a_subject_may_fill_its_bound_in_any_script() -> None:
    profile = certificate_profile(from_toml("subject = 'O=" + "設" * 64 + "'"))
    assert profile.subject.rdns[0].rfc4514_string() == "O=" + "設" * 64


def test_a_fixed_end_and_whole_seconds(now: datetime) -> None:
    not_before, not_after = default_profile().validity_at(now.astimezone(timezone(timedelta(hours=5))))
    assert not_before == datetime(2026, 3, 4, 5, 4, 7, tzinfo=UTC)
    assert not_before.utcoffset() == timedelta(0)
    assert not_after == datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_a_validity_in_days_includes_its_last_second(now: datetime) -> None:
    profile = certificate_profile(ProfileConfig(validity_days=1, backdate_seconds=0))
    assert profile.validity_at(now) == (
        datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        datetime(2026, 3, 5, 5, 6, 6, tzinfo=UTC),
    )
