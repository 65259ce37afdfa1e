"""A model in memory: load, adapt, template, loss head, shapes."""
