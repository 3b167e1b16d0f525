"""Runs with a verdict, short in tests/system and tests/integration, long in tests/drills."""
