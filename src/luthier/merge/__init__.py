"""Adapters into their base, several into one, models averaged: certified against what they were made from."""
