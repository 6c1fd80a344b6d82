"""The changes in the workspace."""
