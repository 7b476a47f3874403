"""Measurements: each against a baseline in the same run, because machines differ and these ratios do not.

``make bench`` prints them; ``python -m tests.bench join cli`` some of them.
"""
