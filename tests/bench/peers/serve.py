"""Answers requests on standard input: `{"do": "pass", "tokens": 128}` gives `answer 0.23` on standard output."""

import json
import sys
import time


def serve(**actions):  # type: ignore[no-untyped-def]
    """Each action returns its answer, or None for the time that it took."""
    print("answer", json.dumps("ready"), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        action = actions[request.pop("do")]
        start = time.perf_counter()
        answer = action(**request)
        seconds = time.perf_counter() - start
        print("answer", json.dumps(seconds if answer is None else answer), flush=True)


def ids(tokens):  # type: ignore[no-untyped-def]
    """The same ids for everybody: a walk through the vocabulary that repeats nothing soon."""
    return [5 + (index * 7919) % 40000 for index in range(tokens)]
