"""Owns the data plane on existing MQTT brokers: one upstream connection for each device."""
