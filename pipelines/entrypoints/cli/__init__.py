"""``mlops``: the one command line, for people and for workflows; ``app`` has its panels and its exit codes."""
