"""Helpers for other libraries' training loops: one module each, which imports that library; nothing imports them."""
