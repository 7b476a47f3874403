"""What each role may do, as policy documents: plain functions of names, without Pulumi."""
