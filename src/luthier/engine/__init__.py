"""Text, vectors and words out of a model."""
