"""The version, by itself: whatever writes it imports nothing else for it."""

__version__ = "0.1.0"
