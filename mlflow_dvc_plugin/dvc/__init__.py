"""The door to DVC: an open project's cache, remotes, link types, locks and metafiles.

Everything that calls DVC is in this package, with plain values on our side, so
that a new DVC release can break this package and nothing else. Importing
``dvc.project`` imports DVC, which takes a second; ``dvc.yaml`` imports it when
it is used.
"""
