"""Lineage: the data of many runs.

Which runs used this data, what differs between two of them, whether they can still
be restored, and how to make sure that they can.
"""
