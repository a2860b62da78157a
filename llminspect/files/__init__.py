"""The only package that opens files: model files, the hub, the cache, texts."""
