"""The listening ports of the gateway: accepting, TLS and bytes."""
