"""Hard cases for any caching proxy in front of the training API, as black-box checks over HTTP.

A target is a small description (targets/*.toml); a check (checks/) asks it questions and tells
what it found. `python -m tests.torture --help` says how to run them, and how to hold a target
still so that a finding can be seen by hand.
"""
