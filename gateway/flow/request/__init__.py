"""Answers requests: by the stored responses, cache directives, minimum version and mode."""
