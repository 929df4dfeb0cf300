"""The verifiable log without I/O: its tree, its leaves, its checkpoints, and where each of them is found."""
