"""Do the rows that are scored still look like the calibration rows: sums of what scoring told."""
