"""A model that acts: tools, the loop that calls them, and the transcript of what was done."""
