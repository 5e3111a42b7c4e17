"""Images whose files are fetched when they are read: layers as eStargz, which are ordinary layers everywhere else."""
