"""GitHub: pull requests, issues and comments for people, and proof of their approvals.

``propose`` opens a pull request for a candidate, or an issue that says why there is none; ``approval`` verifies the
review of a merged one; ``follow`` reports the end of a release. ``client`` calls the API.
"""
