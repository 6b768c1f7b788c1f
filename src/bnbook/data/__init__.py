"""Data: where it comes from (`sources`), what is in it (`datasets`), how it is cut (`batches`)."""
