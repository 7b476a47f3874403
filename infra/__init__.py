"""What every environment on AWS consists of, as one Pulumi program; it knows the vocabulary of the pipelines alone."""
