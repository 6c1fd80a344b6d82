"""The ignore rules of DVC and Git."""
