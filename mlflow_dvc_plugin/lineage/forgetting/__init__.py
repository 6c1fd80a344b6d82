"""Deleting objects for ever, on purpose: what rests on them, where they are, and the deletion."""
