"""The web console: pages on which operators see and change the registry by the API's operations."""
