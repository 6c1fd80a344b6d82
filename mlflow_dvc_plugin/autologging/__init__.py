"""Each run's data, files, params, metrics and plots, logged without being asked again.

Nothing that goes wrong here fails a run, and nothing that the user logged is
overwritten: what could clash is logged as the run ends, and only where it is
missing.
"""
