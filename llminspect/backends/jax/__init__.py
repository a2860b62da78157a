"""Other engines than numpy: the same core, compiled and spread over devices and hosts by JAX.

Nothing here is imported unless `--engine jax` asks for it.
"""
