"""Runs found by their data."""
