"""The device edge: MQTT 3.1.1 and 5. What is here, but for the TLS listener and the gateway, does no I/O."""
