"""Reporting: the data of runs to look at.

``graph`` is what rests on which data: from versions of data to models and their aliases.
"""
