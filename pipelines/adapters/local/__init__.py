"""The embedded profile: files and SQLite under one folder, no service and no network."""
