"""What is mended, masked or left out before rows are split: one rule a file, `cleaner.py` applies them."""
