"""Narrower weights and other forms of a model, each certified in the engine that will run it."""
