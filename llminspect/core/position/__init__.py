"""Where a token stands: rotary, sinusoidal and relative position codes."""
