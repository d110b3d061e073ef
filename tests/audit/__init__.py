"""`cinesync audit`: what it passes, what it fails, and what it must not call good."""
