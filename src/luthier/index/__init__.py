"""Index: documents become a knowledge base that can be searched."""
