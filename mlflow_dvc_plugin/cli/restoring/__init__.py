"""Commands that bring data back, and keep it from being lost."""
