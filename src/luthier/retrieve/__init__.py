"""Retrieval: what is known of documents, and how it is found again. `index` writes it, `answer` reads it."""
