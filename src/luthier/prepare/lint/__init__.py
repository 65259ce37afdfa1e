"""Lint: what is wrong with the data, by number, with a mend each; and what to make of it."""
