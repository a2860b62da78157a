"""Where a token stands: rotary, sinusoidal and relative position codes, and a code measured by what it does."""
