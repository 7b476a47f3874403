"""Rules for the resources of every environment, run in the tests and, as a policy pack, by ``pulumi up``."""
