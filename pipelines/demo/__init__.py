"""``mlops demo``: the whole loop on the problem's own data, replayed in a minute, told as a story."""
