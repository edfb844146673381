"""Fuzzers of everything that reads files from elsewhere; see docs/lab/reliability.md."""
