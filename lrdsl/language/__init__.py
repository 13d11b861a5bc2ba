"""Text to tree to `Program`, and back to text."""
