"""Wheels made of what has none: source archives, folders and repositories, built in a sandbox."""
