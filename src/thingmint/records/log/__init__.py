"""The tables of the verifiable log: its state, its tiles, and which audit entry each leaf is of."""
