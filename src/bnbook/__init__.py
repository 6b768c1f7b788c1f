"""bnbook: the Batch Normalization paper (Ioffe & Szegedy, 2015), rerun and explained."""

__version__ = "0.1.0"
