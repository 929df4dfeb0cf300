"""The verifiable log: its key, the order of its leaves, reading, proving, verifying, exporting and pruning."""
