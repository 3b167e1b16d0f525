"""A caching gateway in front of one training API. It stays within the rate limit of the API.

ARCHITECTURE.md says what each package does, and where to start reading.
"""

__version__ = "0.1.0"
