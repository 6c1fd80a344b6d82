"""Rerunning: what made a run runs again on its own code and data, and both are compared."""
