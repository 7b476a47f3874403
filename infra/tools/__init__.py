"""Commands beside ``pulumi up``: stacks, images, leftovers, cost and diagrams."""
