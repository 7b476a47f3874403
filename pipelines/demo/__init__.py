"""``mlops demo``: the whole loop on the problem's own data, replayed in a minute, with a running commentary."""
