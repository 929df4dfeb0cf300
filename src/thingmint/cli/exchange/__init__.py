"""Devices of another registry: of an offline station, of AWS IoT, and for AWS IoT."""
