"""The simulated devices: their MQTT connections, identities, renewals by EST, lives and failures."""
