"""Owns the data plane on an existing MQTT broker: one upstream connection for each device."""
