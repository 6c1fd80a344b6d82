"""Can the data of runs be restored, and what keeps it?"""
