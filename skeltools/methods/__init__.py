"""What is trained: one module per method, and the recipes."""
