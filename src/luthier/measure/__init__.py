"""What a number means: words of a text, metrics, intervals, task files. Loads no torch."""
