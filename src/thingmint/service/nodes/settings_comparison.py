"""Owns the comparison of settings that must be the same on all nodes of a database. Does no I/O."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from thingmint.records.nodes.nodes import NodeRow
from thingmint.settings.config import Config

_DIGEST_CHARACTERS = 16


def comparable_settings(config: Config) -> str:
    """Return the settings as JSON for comparison by other nodes; tables, which may hold secrets, are digests."""
    told = {
        "account": config.account,
        "region": config.region,
        "profile": _digest(config.profile),
        "hooks": _digest(config.hooks),
        "registration_dir": None if config.registration_dir is None else str(config.registration_dir),
        "mqtt_data_plane": config.mqtt_data_plane,
        "renewal_overlap_days": config.renewal_overlap_days,
        "mqtt_brokers": _digest(config.mqtt_brokers),
    }
    return json.dumps(told, sort_keys=True)


def differences(own: str, other: NodeRow) -> Sequence[str]:
    """Return the names of the settings that differ on another node."""
    ours, theirs = json.loads(own), json.loads(other.settings)
    return [name for name in sorted(ours) if name in theirs and ours[name] != theirs[name]]


def _digest(table: Mapping[str, object]) -> str:
    text = json.dumps(table, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS] if table else ""
