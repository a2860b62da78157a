"""The mathematics, as pure functions on arrays. Nothing here knows a model's name or opens a file."""
