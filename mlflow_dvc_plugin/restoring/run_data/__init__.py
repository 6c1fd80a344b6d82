"""What a restore brings back: the run's recorded state, its files and metafiles."""
