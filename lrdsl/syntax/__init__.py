"""Text → tree: the syntax alone. The grammar knows no schedule names, and neither does this."""
