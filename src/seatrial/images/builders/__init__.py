"""Building from a Dockerfile with the builder that is here: Docker, BuildKit, Podman, Buildah or CodeBuild."""
