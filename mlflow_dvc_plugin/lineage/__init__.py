"""Lineage: the data side of an MLflow history, as something to ask and to keep.

Which runs used this data, what changed between two of them, can they still be
restored, and how to make sure that they can.
"""
