"""Thingmint: a device certificate authority that speaks AWS IoT's API."""

__version__ = "0.1.0"
