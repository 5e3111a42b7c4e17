"""What leaves the assembler: a layout, an archive, an engine's store, and the account of what was made."""
