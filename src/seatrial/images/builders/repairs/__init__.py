"""From the cause of a failed build to an edit that removes it: data says which action fits which cause."""
