"""Commands that restore the data of runs, and keep it."""
