"""Callers and operators: the credentials and the rights of each."""
