"""Objects on their way: from remotes and other sources into the cache, and back."""
