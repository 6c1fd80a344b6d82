"""What a restore has to change, compared with what is there."""
