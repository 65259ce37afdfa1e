"""Answers from documents, with sources that were checked."""
