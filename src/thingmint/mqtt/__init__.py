"""Owns the device edge: MQTT 3.1.1 and 5; only the transport, the relay and the gateway do I/O."""
