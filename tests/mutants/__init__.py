"""Defects that the suite must catch: `python -m tests.mutants`."""
