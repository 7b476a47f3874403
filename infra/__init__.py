"""The environments on AWS and on a cluster as one Pulumi program; of the pipelines it imports the contracts alone."""
