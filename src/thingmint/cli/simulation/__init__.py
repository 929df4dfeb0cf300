"""Owns `thingmint fleet simulate`: real MQTT devices that measure how a node performs under their load."""
