"""Single files in the workspace: paths, permissions, symbolic links and contents."""
