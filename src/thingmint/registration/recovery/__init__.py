"""What a restore does with a registry from a backup: its signatures are verified, and later changes made again."""
