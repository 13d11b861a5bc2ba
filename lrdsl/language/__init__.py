"""Tree → Program: what a text means in a context, and back to canonical text."""
