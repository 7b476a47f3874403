"""What is measured about data and models, before and in service, and how it is shown. Knows no store."""
