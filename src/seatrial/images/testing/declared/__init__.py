"""What an image must be like, declared in YAML: commands, files, settings, licenses and HTTP answers."""
