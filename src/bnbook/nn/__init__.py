"""Networks and layers: `batchnorm` is the paper's own; `mlp` is the network of Section 4.1."""
