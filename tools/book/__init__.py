"""Checks the book: runs every command of its pages again, compares, or writes the pages anew. `make docs` runs it."""
