"""Owns provisioning templates and their results for a device's parameters: values and rules."""
