"""How fast, how large, beside what: `python -m tests.bench` measures, and prints Markdown."""
