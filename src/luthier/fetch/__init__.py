"""Fetch: models and raw rows from where they are into the store, once, so that everything after works offline."""
