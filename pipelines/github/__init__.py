"""GitHub: what the loop tells people there, and what it may believe of what they did there.

``propose`` brings a candidate before people as a pull request, or says in an issue why there is none; ``approval``
reads the review of a merged one; ``follow`` tells what became of a release. ``client`` talks to the API.
"""
