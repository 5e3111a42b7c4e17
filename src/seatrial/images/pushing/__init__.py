"""Pushing: which tags an image gets, which repositories it goes to, and uploads that survive their process."""
