"""Commands that ask for runs and their data."""
