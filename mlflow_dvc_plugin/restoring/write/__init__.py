"""Write the changes into the workspace."""
