"""The door to DVC: an open project's cache, remotes, links, locks and file formats.

Everything that asks DVC goes through here, with plain values on our side, so
that a new DVC release can break this package and nothing else. To import
``dvc.project`` imports DVC, which takes a second; ``dvc.yaml`` waits until it is used.
"""
