lr, decay, l2 = 0.1, 0.94, 1e-4               # tuned for the baseline

bn_baseline = {
    "learning rate": lr,
    "dropout": 0.4,                           # share of the last features
    "L2": l2,
    "decay": decay,                           # of the learning rate, each epoch
    "local response norm": True,
    "mini-batches": "fixed members",
    "distortion": "strong",                   # of colours and brightness
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
