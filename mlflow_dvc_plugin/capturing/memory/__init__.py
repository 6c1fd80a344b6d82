"""What earlier captures read, and whether it still holds."""
