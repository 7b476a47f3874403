"""``mlops``: the one command line, for people and for workflows.

Exit codes: 0 done; 1 an error, told in a line; 2 wrong usage; 3 done, and the answer is no (a candidate refused, an
alarm raised, a move not allowed).
"""
