"""The watch of an environment in a cluster: what the function on Lambda and CloudWatch are to one on AWS.

It judges the live release each minute, tells Prometheus what lies in the stores (the latest look at the model, failed
runs, the queue), and takes what Alertmanager sends: an alarm that a new model could help with becomes an event.
"""
