"""Prepare: raw rows become examples, split, counted, and rendered by the model's own chat template."""
