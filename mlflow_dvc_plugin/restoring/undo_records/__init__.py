"""Undo records: how the workspace was before each restore."""
