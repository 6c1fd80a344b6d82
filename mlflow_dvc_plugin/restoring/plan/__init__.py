"""Compare what a folder holds with what it must hold, and find what is in the way."""
