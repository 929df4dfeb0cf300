"""Owns the messages and operations of the test mode, which a service has only if it is started for tests."""
