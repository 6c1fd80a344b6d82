"""Commands that record the data state of runs."""
