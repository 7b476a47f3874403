"""The permissions of the bootstrap's roles as policy documents: plain functions of names, without Pulumi."""
