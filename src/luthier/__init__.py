"""Luthier: from an open language model and your own data to a tuned, proven, released and served model."""

__version__ = "0.1.0"
