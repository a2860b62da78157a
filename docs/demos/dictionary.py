"""A small sparse dictionary for SmolLM2, made of words: python docs/demos/dictionary.py FILE.npz

A feature for each kind of word: its direction is what the streams of such words after layer 10 have more than those of
the other words, its threshold lies half way between the two. Real dictionaries are learned from billions of tokens;
this one is saved as theirs are, in the form of Gemma Scope.
"""

import sys

import numpy as np

import llminspect

LAYER = 10
WORDS = {
    "country": " France Italy Spain Germany China Japan India Brazil Egypt Canada Russia Poland",
    "animal": " dog cat horse cow sheep lion bear wolf bird fish snake rabbit",
    "colour": " red blue green yellow black white brown grey orange purple pink gold",
    "number": " two three four five six seven eight nine ten eleven twelve twenty",
    "month": " January February March April May June July August September October November December",
    "food": " bread cheese milk rice soup meat salt butter sugar fruit cake honey",
}

streams = {
    kind: np.concatenate([
        llminspect.embed(f"We talked about {word}", model="smollm2", at=LAYER).vectors[-1:] for word in words.split()
    ])
    for kind, words in WORDS.items()
}  # fmt: skip
mean = np.mean([rows.mean(axis=0) for rows in streams.values()], axis=0)
directions = np.stack([rows.mean(axis=0) - mean for rows in streams.values()])
directions /= np.linalg.norm(directions, axis=1, keepdims=True)
thresholds = []
for direction, kind in zip(directions, streams, strict=True):
    inside = ((streams[kind] - mean) @ direction).mean()
    outside = max(((rows - mean) @ direction).mean() for other, rows in streams.items() if other != kind)
    thresholds.append((inside + outside) / 2)
np.savez(sys.argv[1], W_enc=directions.T, W_dec=directions, b_enc=-directions @ mean, b_dec=mean, threshold=thresholds)
