"""Base against tuned on the same held-out rows, with how sure the difference is."""
