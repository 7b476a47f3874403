"""Serving: the app that answers predictions, follows the release log, routes canary traffic and logs its answers."""
