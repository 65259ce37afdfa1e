"""A model over HTTP, as the OpenAI API speaks."""
