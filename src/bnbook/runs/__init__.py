"""Training the runs that the protocols name: one module an experiment, and `runs`, which makes records.

An experiment's module has `train_run(config, seed, checkpoint, report, measure) -> Measured`.
"""
