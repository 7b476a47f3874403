"""Storage: the ports, Iceberg tables, SQL over them, the prediction log, and the keys of objects."""
