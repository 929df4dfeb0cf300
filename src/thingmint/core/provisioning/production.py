"""Owns the parameters of RegisterThing about a device's production (batch, operator, station) for the audit trail.

AWS IoT ignores parameters that a template does not declare, so the same request works there.
"""

from collections.abc import Mapping

from thingmint.core.errors import InvalidRequest

# The parameter's name, and the name of the detail in the audit entry.
PRODUCTION_PARAMETERS = {
    "Thingmint::Batch": "batch",
    "Thingmint::Operator": "operator",
    "Thingmint::Station": "station",
}
_MAX_CHARACTERS = 128


def production_details(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the details for the audit entry; raise InvalidRequest for an empty, long or unprintable value."""
    details: dict[str, str] = {}
    for parameter, detail in PRODUCTION_PARAMETERS.items():
        value = parameters.get(parameter)
        if value is None:
            continue
        if not 1 <= len(value) <= _MAX_CHARACTERS or not value.isprintable():
            raise InvalidRequest(f"{parameter} has 1 to {_MAX_CHARACTERS} characters, all of them printable")
        details[detail] = value
    return details
