"""Seatrial checks, builds, tests, pushes and deploys ML container images, jobs and machine images."""

__version__ = "0.1.0"
