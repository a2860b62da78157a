"""Where arrays live and products are made in place of plain numpy: JAX, compiled block kernels."""
