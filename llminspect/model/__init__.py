"""What a model is: its configuration, its arrays, and the pass of ids through its layers."""
