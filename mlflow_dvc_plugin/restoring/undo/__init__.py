"""The record of what a restore replaced."""
