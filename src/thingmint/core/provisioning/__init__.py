"""Owns provisioning templates and what they make of a device's parameters: values and rules."""
