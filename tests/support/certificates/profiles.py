"""Owns the certificate profile that tests use unless the profile is what they test."""

from thingmint.issuance.profiles.profile import CertificateProfile, ProfileConfig, certificate_profile


def default_profile() -> CertificateProfile:
    """Return the profile of a service without a setting of its own."""
    return certificate_profile(ProfileConfig())
