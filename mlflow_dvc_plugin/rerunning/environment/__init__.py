"""The Python environment of a run: what is recorded of it, what is there, and how to make it."""
