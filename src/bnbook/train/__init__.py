"""Training: one loop for every experiment, with schedules, probes and checkpoints."""
