"""What implements the ports, one folder for each place; ``pipelines.bootstrap`` chooses."""
