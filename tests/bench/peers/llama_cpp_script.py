"""The next token with llama.cpp. Arguments: the GGUF file, the number of threads, ids with commas."""

import sys

import numpy as np
from llama_cpp import Llama

path, threads, ids = sys.argv[1:]
tokens = [int(number) for number in ids.split(",")]
model = Llama(path, n_ctx=len(tokens) + 8, n_threads=int(threads), n_threads_batch=int(threads), verbose=False)
model.eval(tokens)
logits = np.ctypeslib.as_array(model._ctx.get_logits_ith(-1), (model.n_vocab(),))
print(np.argsort(logits)[-10:].tolist())
