"""Callers and operators: which credential belongs to whom, and what each of them may do."""
