"""Owns MQTT packets in WebSockets: their frames, and the transport that a connection of the gateway uses."""
