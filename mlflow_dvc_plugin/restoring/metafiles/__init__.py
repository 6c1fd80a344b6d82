"""Plan what a project's metafiles, its .gitignore files and its outs in Git must hold.

In all of these modules, `project` is the absolute path of the project, `state` is
what the run recorded, and `workspace` is what the project's metafiles say today.
"""
