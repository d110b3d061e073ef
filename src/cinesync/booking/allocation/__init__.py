"""Which seats a wish gets: best available, split parties, gap and companion rules. Pure."""
