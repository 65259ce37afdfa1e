"""Typed things on disk, and the words that pass from stage to stage."""
