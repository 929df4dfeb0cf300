"""Owns the check at a start that the active issuer can issue certificates of its profile."""

from datetime import datetime, timedelta

from thingmint.core.error_text import in_words
from thingmint.host.service_log import service_log
from thingmint.issuance.issuer import Issuer, IssuerEnded, IssuerNotValid, ProfileExhausted
from thingmint.settings.config import StartRefused


def require_validity(issuer: Issuer, now: datetime) -> None:
    """Return if certificates of the profile can be issued; raise StartRefused if the profile must be changed.

    If the issuer's validity did fit the profile at first and is now too short, the node starts: it serves devices, but
    does not issue.
    """
    try:
        issuer.validity_at(now)
    except (IssuerNotValid, IssuerEnded):
        # The clock may be corrected, or the issuer rotated, while the service runs; until then it does not issue.
        return
    except ProfileExhausted as error:
        if _did_fit(issuer):
            service_log.error(
                "no certificates are issued: rotate the issuer, or change the profile", cause=in_words(error)
            )
            return
        end = issuer.ca.not_after
        raise StartRefused(
            f"the table [profile] cannot be used: {in_words(error)}. validity_days may be {(end - now).days} today, "
            f"and not_after at most {end.isoformat()}; with at_issuer_end = shorten, certificates end with their issuer"
        ) from error


def _did_fit(issuer: Issuer) -> bool:
    # A day after its notBefore, because that is backdated by a day.
    try:
        issuer.validity_at(issuer.ca.not_before + timedelta(days=1))
    except ProfileExhausted:
        return False
    return True
