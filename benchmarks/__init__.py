"""What `make bench` measures: ours and the limit in turn, in one run, printed as ratios."""
