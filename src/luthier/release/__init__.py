"""The gate, and the log of what was released."""
