"""Figures, each from one file; `make bench` runs them all and writes results/."""
