"""Owns what the gateway asks the registry for, and what it publishes about devices and things."""
