"""Entry points of processes: the command line, the container, functions on Lambda, the watch in a cluster."""
