"""Transfer objects: from remotes and other sources into the cache, and back."""
