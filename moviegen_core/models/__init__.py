"""Networks: one folder each, built from a config; `loading` and `catalog` tie them together."""
