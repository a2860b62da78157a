"""llama.cpp on the 4-bit weights. Arguments: the GGUF file, the number of threads."""

import sys
import time

from llama_cpp import Llama
from serve import ids, serve

model = Llama(sys.argv[1], n_ctx=2048, n_threads=int(sys.argv[2]), n_threads_batch=int(sys.argv[2]), verbose=False)


def decode(tokens: int) -> float:
    start = 0.0
    for index, _ in enumerate(model.generate(ids(16), temp=0.0)):
        if index == 1:
            start = time.perf_counter()
        if index == tokens + 1:
            break
    return (time.perf_counter() - start) / tokens


serve(decode=decode)
