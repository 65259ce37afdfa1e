"""The terminal: asks and shows."""
