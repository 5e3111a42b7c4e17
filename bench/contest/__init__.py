"""From the same locked requirements to a pushed image, made by several tools in one run."""
