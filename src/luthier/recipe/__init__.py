"""Stages in a row, from one YAML file."""
