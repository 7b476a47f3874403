"""What no environment may have: rules over its resources, run in the tests and, as a policy pack, by ``pulumi up``."""
