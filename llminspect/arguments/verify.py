"""What `verify` can be asked."""

BOUND = 1e-4
"""Of the relative difference. Rounding in float32 stays far below it, a wrong formula far above."""
