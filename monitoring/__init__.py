"""Measures of data and models, before and in service, and their plots and report; knows no store."""
