"""Implementations of the ports, one folder for each platform; ``pipelines.bootstrap`` chooses among them."""
