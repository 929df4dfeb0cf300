"""Owns the operations on provisioning templates and bulk registration, and those that devices call over MQTT."""
