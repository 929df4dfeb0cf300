"""One device's link to the gateway: its MQTT protocol state, its deliveries, and the facts of its connection."""
