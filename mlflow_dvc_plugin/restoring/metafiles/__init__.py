"""Plan what a project's metafiles, its .gitignore files and its outs in Git must hold."""
