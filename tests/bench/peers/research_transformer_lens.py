"""What a person writes to ask TransformerLens (4 and later) what the newer commands answer.

Arguments: the question, the folder, and what the question is about.
"""

import json
import os
import sys
from functools import partial
from typing import Any

import torch
from safetensors.torch import load_file
from transformer_lens.model_bridge import TransformerBridge

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
torch.set_grad_enabled(False)
question, folder, *given = sys.argv[1:]
model = TransformerBridge.boot_transformers(folder, dtype=torch.float32)
LAYERS, HEADS = model.cfg.n_layers, model.cfg.n_heads


def ids(text: str) -> Any:
    return model.to_tokens(text, prepend_bos=False)


def best(values: Any, count: int = 8) -> list[Any]:
    top = values.topk(count)
    return [[model.tokenizer.decode(i), v] for i, v in zip(top.indices.tolist(), top.values.tolist(), strict=True)]


def records(path: str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def of_head(name: str) -> tuple[Any, Any]:
    """Its value and output matrices, [D, E] and [E, D], with the gain of the norm before it folded in."""
    layer, head = map(int, name.split("."))
    group = HEADS // model.W_V.shape[1]
    return model.blocks[layer].ln1.weight[:, None] * model.W_V[layer, head // group], model.W_O[layer, head]


def score(text: str, *ways: str) -> list[Any]:
    """ln p of each continuation."""
    found = []
    for way in ways:
        front, more = ids(text)[0], ids(way)[0]
        logs = model(torch.cat([front, more])[None])[0].log_softmax(-1)
        found.append([way, logs[len(front) - 1 : -1].gather(1, more[:, None]).sum().item()])
    return sorted(found, key=lambda entry: -entry[1])


def neuron(name: str) -> list[Any]:
    """What its rows read and what its column writes."""
    layer, number = map(int, name.split("."))
    gain, block = model.blocks[layer].ln2.weight, model
    rows = [matrix[layer, :, number] * gain for matrix in (block.W_gate, block.W_in)]
    normed = model.W_E / (model.W_E.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    writes = (model.W_out[layer, number] * model.ln_final.weight) @ model.W_U
    products = [normed @ row for row in rows] + [writes - writes.mean()]
    return [best(way * product) for product in products for way in (1, -1)]


def head(name: str) -> list[Any]:
    """The copying score, the singular values, and what the tokens write that write most."""
    value, output = of_head(name)
    normed = model.W_E / (model.W_E.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    read, write = normed @ value, output @ (model.ln_final.weight[:, None] * model.W_U)
    write = write - write.mean(-1, keepdim=True)
    values = torch.linalg.eigvals(write @ read)
    small = torch.linalg.qr(value).R @ torch.linalg.qr(output.T).R.T
    sizes = ((read @ (write @ write.T)) * read).sum(-1)
    tops = [best(read[token] @ write) for token in sizes.topk(8).indices]
    return [(values.real.sum() / values.abs().sum()).item(), torch.linalg.svdvals(small).tolist(), tops]


def habits(path: str) -> Any:
    """Of every head the mean weight on token 0, on the token before, and on itself, over the texts."""
    sums = torch.zeros(3, LAYERS, HEADS)
    texts = [record["text"] for record in records(path)]
    for text in texts:
        _, cache = model.run_with_cache(ids(text), names_filter=lambda name: name.endswith("attn.hook_pattern"))
        pattern = torch.stack([cache[f"blocks.{layer}.attn.hook_pattern"][0] for layer in range(LAYERS)])
        sums[0] += pattern[..., 2:, 0].mean(-1)
        sums[1] += pattern.diagonal(-1, -2, -1)[..., 1:].mean(-1)
        sums[2] += pattern.diagonal(0, -2, -1)[..., 1:].mean(-1)
    return (sums / len(texts)).tolist()


def patch(clean: str, corrupt: str) -> list[float]:
    """The stream of the other text put into each layer at each token: 30 × 5 passes."""
    clean_ids, corrupt_ids = ids(clean), ids(corrupt)
    logits, _ = model.run_with_cache(clean_ids, names_filter=lambda name: False)
    others, cache = model.run_with_cache(corrupt_ids, names_filter=lambda name: name.endswith("hook_resid_pre"))
    answer, other = logits[0, -1].argmax(), others[0, -1].argmax()
    found = []
    for layer in range(LAYERS):
        name = f"blocks.{layer}.hook_resid_pre"
        for at in range(clean_ids.shape[1]):

            def put(stream: Any, hook: Any, name: str = name, at: int = at) -> Any:
                stream = stream.clone()
                stream[:, at] = cache[name][:, at]
                return stream

            end = model.run_with_hooks(clean_ids, fwd_hooks=[(name, put)])[0, -1]
            found.append((end[other] - end[answer]).item())
    return found


def probe(path: str) -> list[float]:
    """A ridge regression of the labels on the last token's stream after each layer, each tenth held out in turn."""
    streams, labels = [], []
    for record in records(path):
        _, cache = model.run_with_cache(ids(record["text"]), names_filter=lambda name: name.endswith("hook_resid_post"))
        streams.append(torch.stack([cache[f"blocks.{layer}.hook_resid_post"][0, -1] for layer in range(LAYERS)]))
        labels.append(record["label"])
    rows, names = torch.stack(streams), sorted(set(labels))
    sides = torch.tensor([1.0 if label == names[0] else -1.0 for label in labels])
    found = []
    for layer in range(LAYERS):
        right = 0
        x = (rows[:, layer] - rows[:, layer].mean(0)) / (rows[:, layer].std(0) + 1e-6)
        for fold in range(10):
            held = torch.arange(len(x)) % 10 == fold
            kernel = x[~held] @ x[~held].T + 100.0 * torch.eye(int((~held).sum()))
            weights = x[~held].T @ torch.linalg.solve(kernel, sides[~held])
            right += int(((x[held] @ weights > 0) == (sides[held] > 0)).sum())
        found.append(right / len(x))
    return found


def attribution(path: str) -> Any:
    """What each head adds to the logit of the target, over the texts."""
    total, outputs, unembedding = torch.zeros(LAYERS, HEADS), model.W_O, model.W_U  # Each stacked anew by every use.
    for record in records(path):
        tokens, wanted = ids(record["text"]), ids(record["target"])[0, 0]
        _, cache = model.run_with_cache(
            tokens, names_filter=lambda name: name.endswith(("attn.hook_z", "ln_final.hook_scale"))
        )
        direction = unembedding[:, wanted] * model.ln_final.weight / cache["ln_final.hook_scale"][0, -1]
        for layer in range(LAYERS):
            mixed = cache[f"blocks.{layer}.attn.hook_z"][0, -1].reshape(HEADS, -1)
            total[layer] += torch.einsum("he,hed,d->h", mixed, outputs[layer], direction)
    return total.tolist()


def features(path: str, text: str) -> list[Any]:
    """Of each token the strongest features of a TopK autoencoder and what they write to the logits; how much of the
    variance it rebuilds, and the loss in bits with the model's own vectors, the rebuilt ones, and zeros."""
    arrays, tokens = load_file(f"{path}/sae_weights.safetensors"), ids(text)
    with open(f"{path}/cfg.json", encoding="utf-8") as file:
        config = json.load(file)
    hook = config["hook_name"]
    logits, cache = model.run_with_cache(tokens, names_filter=lambda name: name == hook)
    stream = cache[hook][0]
    before = (stream - arrays["b_dec"]) @ arrays["W_enc"] + arrays["b_enc"]
    top = before.topk(config["k"])
    on = torch.zeros_like(before).scatter_(-1, top.indices, top.values.relu())
    rebuilt = on @ arrays["W_dec"] + arrays["b_dec"]

    def bits(logits: Any) -> float:
        wanted = logits[0, :-1].double().log_softmax(-1).gather(1, tokens[0, 1:, None])
        return float(-wanted.mean() / 0.6931471805599453)

    put = [lambda array, hook, new=new: new[None] for new in (rebuilt, torch.zeros_like(rebuilt))]
    losses = [bits(logits), *(bits(model.run_with_hooks(tokens, fwd_hooks=[(hook, one)])) for one in put)]
    explained = 1 - (stream - rebuilt).pow(2).sum() / (stream - stream.mean(0)).pow(2).sum()
    strongest = on.topk(5)
    listed = strongest.indices.flatten().unique()
    writes = (arrays["W_dec"][listed] * model.ln_final.weight) @ model.W_U
    raised = [best(row, 5) for row in writes - writes.mean(-1, keepdim=True)]
    rows = [[top.indices.tolist(), top.values.tolist()] for top in [strongest]]
    return [explained.item(), losses, rows, dict(zip(listed.tolist(), raised, strict=True))]


def diff(other: str, text: str) -> list[Any]:
    """KL in bits between the next tokens of two models after each token, and how far the weights of each head are
    apart, half of the sum of the differences of a row, the mean over the rows."""
    found, kept = [], lambda name: name.endswith("attn.hook_pattern")
    for one in (model, TransformerBridge.boot_transformers(other, dtype=torch.float32)):
        logits, cache = one.run_with_cache(ids(text), names_filter=kept)
        patterns = torch.stack([cache[f"blocks.{layer}.attn.hook_pattern"][0] for layer in range(LAYERS)])
        found.append((logits[0].double().log_softmax(-1), patterns))
    (logs, weights), (others, moved) = found
    apart = (logs.exp() * (logs - others)).sum(-1) / 0.6931471805599453
    return [apart.tolist(), ((weights - moved).abs().sum(-1) / 2).mean(-1).tolist(), best(others[-1].exp())]


def nodes() -> tuple[list[str], list[str], dict[str, int]]:
    """The hooks of what writes into the stream, of what reads it, and how many hooks of writers come before each."""
    model.set_use_attn_result(True)
    model.set_use_split_qkv_input(True)
    model.set_use_hook_mlp_in(True)
    writers, before = ["blocks.0.hook_resid_pre"], {}
    for layer in range(LAYERS):
        before.update({f"blocks.{layer}.hook_{part}_input": len(writers) for part in "qkv"})
        writers.append(f"blocks.{layer}.attn.hook_result")
        before[f"blocks.{layer}.hook_mlp_in"] = len(writers)
        writers.append(f"blocks.{layer}.hook_mlp_out")
    before[f"blocks.{LAYERS - 1}.hook_resid_post"] = len(writers)
    return writers, list(before), before


def each(stream: Any) -> Any:
    """Of each head, or of the one part, [parts, T, D]."""
    return stream[0].transpose(0, 1) if stream.ndim == 4 else stream


def edge_scores(tokens: Any, ends: tuple[Any, Any], answers: Any, steps: int) -> dict[str, Any]:
    """Of each reader the scores of its edges, by integrated gradients between the embeddings of two texts; `ends` are
    what all parts write in them."""
    writers, readers, before = nodes()
    sizes, change_UN = parts_of(writers), (ends[0] - ends[1]).flatten(1)
    scores: dict[str, Any] = {}
    for step in range(1, steps + 1):
        mixed = ends[1][:1] + (ends[0][:1] - ends[1][:1]) * step / steps
        read: dict[str, Any] = {}

        def start(stream: Any, hook: Any, mixed: Any = mixed) -> Any:
            return mixed.clone().requires_grad_()

        def keep(stream: Any, hook: Any, name: str, read: dict[str, Any] = read) -> Any:
            read[name] = stream.clone()  # What else goes on with the stream is not of this reader.
            return read[name]

        with torch.enable_grad():
            hooks = [(writers[0], start), *((name, partial(keep, name=name)) for name in readers)]
            logits = model.run_with_hooks(tokens, fwd_hooks=hooks)[0, -1]
            slopes = torch.autograd.grad(logits[answers[0]] - logits[answers[1]], [read[name] for name in readers])
        for name, slope in zip(readers, slopes, strict=True):
            some = each(slope).flatten(1) @ change_UN[: sum(sizes[: before[name]])].T
            scores[name] = scores.get(name, 0) + some / steps
    return scores


def parts_of(writers: list[str]) -> list[int]:
    return [HEADS if name.endswith("result") else 1 for name in writers]


KEEP, CONTROLS = 0.8, 10
"""Of `circuit`, as without options."""


def circuit(clean: str, corrupt: str, steps: str) -> list[float]:
    """Edge attribution patching with integrated gradients; the smallest graph of the strongest edges that keeps a share
    of the effect, found by halves; random graphs of that size. Without the other method, completeness and curves, which
    ours measures as well. Heads that share keys and values read them together."""
    writers, readers, _ = nodes()
    sizes, tokens = parts_of(writers), [ids(clean), ids(corrupt)]
    ran = [model.run_with_cache(text, names_filter=lambda name: name in writers) for text in tokens]
    logits = [logits[0, -1] for logits, _ in ran]
    clean_UTD, corrupt_UTD = (torch.cat([each(cache[name]) for name in writers]) for _, cache in ran)
    answers = logits[0].argmax(), logits[1].argmax()
    whole, nothing = ((end[answers[0]] - end[answers[1]]).item() for end in logits)
    scores = edge_scores(tokens[0], (clean_UTD, corrupt_UTD), answers, int(steps))
    order = torch.cat([some.abs().flatten() for some in scores.values()]).argsort(descending=True)
    now = corrupt_UTD.clone()

    def faithfulness(kept: Any) -> float:
        mask = torch.ones(len(order))
        mask[kept] = 0
        pieces = mask.split([some.numel() for some in scores.values()])
        dropped = {name: piece.reshape(scores[name].shape) for name, piece in zip(scores, pieces, strict=True)}

        def write(stream: Any, hook: Any, at: int) -> None:
            now[sum(sizes[:at]) : sum(sizes[: at + 1])] = each(stream)

        def patch_edges(stream: Any, hook: Any, name: str) -> Any:
            change = (now - corrupt_UTD)[: dropped[name].shape[1]]
            moved = (dropped[name] @ change.flatten(1)).reshape(len(dropped[name]), *change.shape[1:])
            return stream - (moved.transpose(0, 1)[None] if stream.ndim == 4 else moved)

        hooks = [(name, partial(write, at=at)) for at, name in enumerate(writers)]
        hooks += [(name, partial(patch_edges, name=name)) for name in readers]
        end = model.run_with_hooks(tokens[0], fwd_hooks=hooks)[0, -1]
        apart = (end[answers[0]] - end[answers[1]]).item()
        return float((apart - nothing) / (whole - nothing))

    fewest, enough = 0, len(order)
    while enough - fewest > 1:
        middle = (fewest + enough) // 2
        fewest, enough = (fewest, middle) if faithfulness(order[:middle]) >= KEEP else (middle, enough)
    at_random = [faithfulness(torch.randperm(len(order))[:enough]) for _ in range(CONTROLS)]
    strongest = [some.abs().max().item() for some in scores.values()]
    return [whole, nothing, enough, faithfulness(order[:enough]), *at_random, *strongest[-9:]]


print(json.dumps(globals()[question](*given)))
