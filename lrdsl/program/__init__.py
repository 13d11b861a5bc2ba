"""The waist: plain data, and how a formula becomes it."""
