"""Imports devices of an offline station and of AWS IoT, and exports devices for AWS IoT."""
