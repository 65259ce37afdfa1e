"""What the benches of serving share, and the processes they start."""
