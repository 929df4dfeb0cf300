"""Owns MQTT 3.1.1 and 5 packets as bytes and as values, in both directions."""
