"""The scaffold: a problem package written from a sample file, for a data scientist to go on from.

read the sample → profile it → answers from flags or questions → a plan derived from both → files.
"""
