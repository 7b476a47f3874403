"""The scaffold: writes a problem package from a sample file, as a start for a data scientist.

read the sample → profile it → answers from flags or questions → a plan derived from both → files.
"""
