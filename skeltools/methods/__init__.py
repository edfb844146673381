"""What is trained: one module a method, and the recipes."""
