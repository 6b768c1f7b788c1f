# tuned for the baseline
lr, decay, l2 = 0.05, 0.94, 1e-4

bn_baseline = {
    "learning rate": lr,
    "dropout": 0.4,  # share of the last features
    "L2": l2,
    # of the learning rate, each epoch
    "decay": decay,
    "local response norm": True,
    "mini-batches": "fixed members",
    # of colours and brightness
    "distortion": "strong",
    "batch norm": True,
}
bn_x5 = bn_baseline | {
    "learning rate": 5 * lr,
    "dropout": 0.0,
    "L2": l2 / 5,
    "decay": decay**6,
    "local response norm": False,
    "mini-batches": "reshuffled",
    "distortion": "weak",
}
for key, before in bn_baseline.items():
    if bn_x5[key] != before:
        after = bn_x5[key]
        show = "{:.3g}".format if isinstance(after, float) else str
        print(f"{key:<20} {show(before):>14} -> {show(after)}")
