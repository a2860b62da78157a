"""The families of models: a file a family, found by the registry. Adding one touches no other file."""
