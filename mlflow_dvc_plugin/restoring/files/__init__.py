"""Single files of the workspace: their paths, permissions, links and small contents."""
