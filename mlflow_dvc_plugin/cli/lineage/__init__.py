"""Commands that find and compare runs by their data."""
