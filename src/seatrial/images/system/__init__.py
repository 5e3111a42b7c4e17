"""Debian packages on top of any base, and what it takes to run programs of another processor."""
