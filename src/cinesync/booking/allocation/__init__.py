"""Chooses seats: best available, split parties, gap and companion rules. Pure."""
