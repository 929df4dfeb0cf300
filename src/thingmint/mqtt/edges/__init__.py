"""Owns the links between gateway and registry: device identities, operations, events and operators' calls."""
