"""The watch of an environment in a cluster, the counterpart of the Lambda function and CloudWatch on AWS.

It judges the live release each minute, exposes the state of the stores to Prometheus (the latest monitor report, failed
runs, the queue), and receives alerts from Alertmanager: one that a new model could help with becomes an event.
"""
