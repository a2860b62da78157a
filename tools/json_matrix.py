"""Record what a fixed matrix of command lines writes, and compare two recordings to the last digit.

    python -m tools.json_matrix record FOLDER    runs every command line, two at a time, and writes FOLDER/runs.jsonl
    python -m tools.json_matrix compare A B      names each that differs (then exit code 1), and where

PYTHONPATH says which copy of the program runs: PYTHONPATH=/path/to/other/checkout records that one. smollm2 and
minilm have to be there. Only what differs between two runs of one program is made equal: durations, temporary folders.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tests.drawn import make_all

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
INPUTS: dict[str, str | bytes] = {
    "lines": "Alice gave Bob her book\n\nnaïve café 👩🏽‍🚀\nA cat sat.\n",
    "words": "world !\nhello hello\nunknown\nworld\n",
    "cats": "A cat sat.\nA dog sat.\nA cat\n",
    "ids": "5,6,7\n8 9\nnine\n-1\n",
    "prompt": "the heart<s>",
    "document": '{"ids": [5, 6, 7]}',
    "messages": '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi <|im_end|>"}]',
    "bytes": b"caf\xe9 \xff A cat",
    "prose": "The cat sat on the mat, and the dog sat beside it. " * 40,
}
# A line, or what stands between semicolons, is a command line for the models that a line before names. It runs with
# --json; with = in front without, with + both ways. NAME=VALUE sets the environment, `< name` gives one of INPUTS.
TEXTS = {"TEXT": '"Alice gave Bob her book"', "CAT": '"A cat sat."', "HEART": '"the heart"', "IDS": "--ids 5,6,7,8"}
TEXTS |= {"FRANCE": '"The capital of France is"', "ITALY": '"The capital of Italy is"', "JAX": "--engine jax"}
TEXTS |= {"TALK": "--user hi --chat --system Be --special", "FILE": "--file inputs/prompt --parse special --no-special"}
TEXTS |= {"DRAWN": "--save drawn.html --width 60 --theme light --color always --quiet --digits 2"}
MATRIX = """
smollm2: +tokenize TEXT ; +tokenize Unaffable --steps ; tokenize --lines < lines ; tokenize --count --cost $2.50 < prose
tokenize TEXT --max-tokens-allowed 4 --no-special ; +tokenize --chat < messages ; tokenize "a<|im_end|>" --parse error
+tokenize TEXT --compare o200k_base --compare minilm --compare bytes ; encode --search " Alice*" ; encode < bytes
encode --decode 7356,4502,8363 ; encode --search *ization --longest --limit 3 ; +encode --search * --only special
+embed TEXT --nearest 5 --words ; +embed --analogy " king - man + woman" --nearest 5 --exclude-inputs ; +forward FRANCE
+embed "king queen man woman" --similarity --project pca ; attend TEXT --layer 3 --mean ; attend TEXT --mask causal
+attend TEXT --measure previous ; +attend TEXT --layer 11 --head 4 ; +attend TEXT --contributions --query her
+attend TEXT --find "her->Alice" --control "Mary gave Bob her book" ; =attend TEXT --save page.html --interactive
+forward FRANCE --lens --target " Paris" ; +forward FRANCE --lens --all --top 2 ; +forward FRANCE --saliency
+forward FRANCE --attribution --target " Paris" --versus " Rome" ; +forward TEXT --surprise ; forward hi --chat --at 1
+forward --surprise --window 64 < prose ; =forward --perplexity --lines < lines ; forward "A cat" --kernels compiled
+forward "The cat" --patch "The dog" --sweep attention ; forward FRANCE --patch ITALY --into 3.stream --position 3
forward "A cat" --steer "London - Paris@10*2" ; forward "A cat" --engine jax ; +generate TEXT --max-tokens 5 ; +info
forward "A cat" --trace --digits 3 --save f.json ; +generate "Once" --tree 2 --max-tokens 2 ; +walk TEXT
generate "Once upon" --temperature 0.8 --seed 1 --max-tokens 6 --steps ; generate "a b a b a" --lookup 3 --max-tokens 8
+generate "Once upon" --beams 3 --length-penalty 0.8 --max-tokens 4 ; =generate hi --chat --stream --max-tokens 5
generate FRANCE --patch ITALY --into 3.stream --position 3 --max-tokens 2 ; =walk "A cat" --save walk.txt
walk "A cat" --save walk.html --interactive
+diff FRANCE --against ITALY --top 3 ; =info --tensors ; walk --ids 49,2644 --offline --revision x ; walk hi --pause
minilm: +tokenize "Unaffable naïve" --steps ; encode --decode "Hello World" ; encode --one-hot hi --save o.json ; +info
forward "A cat" ; +embed CAT "A dog sat." "It rains." --pool mean --similarity ; embed --lines --pool first < cats
embed "A cat" --at final --save e.npz ; +embed "A cat sat" --positions ; generate hi ; verify ; +attend CAT --rollout
attend CAT --measure next ; attend CAT --find "cat->sat" ; embed hi --kernels compiled --offline
toy: +tokenize "hello world !" ; tokenize "hello moon" ; +encode "hello world !" --one-hot ; encode --decode 0,1,2
+embed "hello world !" --nearest 2 --similarity --metric dot ; embed hello --with world --pool last --save e.npz
+forward world ; =forward world --steps ; =forward world --save f.svg ; forward world --steer x ; attend hello
forward "hello world" --save f.npz --trace ; forward --lines < words ; =forward --perplexity --lines < words
+forward world --attribution --target ! ; forward "hello world" --saliency --gradient --engine jax
forward world --engine jax --dtype bfloat16 --mesh data=1,model=1 ; forward world --coordinator auto
forward world --engine jax --coordinator a:1 --process 5/2 ; +generate world --max-tokens 2 --alternatives 1
generate world --temperature 1 --seed 3 --top-k 2 --n 3 --save g.json ; =generate world --stream --max-tokens 3
generate world --repetition-penalty 2 --seed 1 --max-tokens 4 --top-p 0.9 --min-p 0.1 --typical 0.9 --steps --quiet
=generate world --watch --max-tokens 3 --color always ; generate world --stop ! ; +diff world --against hello
generate world --prefix "hello" --ignore-eos --max-tokens 3 ; diff world ; +info --tensors ; walk --lines < words
verify --ids 1,2 --record r.npz ; verify --against inputs/prose ; forward world --save f.pdf ; generate --lines < words
toy-attention: +attend CAT ; +attend CAT --query cat ; attend CAT --mask causal ; =attend "A cat" --mask none ; +info
+attend CAT --show weights,scores,queries,keys,values --layer 0 --head 0 ; attend --lines < cats ; attend CAT --layer 3
attend CAT --save a.npz ; =attend CAT --save a.html --width 60 ; attend CAT --find "sat->cat" ; =attend CAT --save a.png
attend CAT --query dog ; attend CAT --control "A cat" ; attend "A cat" --show scores ; attend A --show nothing --layer 0
forward CAT --lens --save lens.html --interactive ; forward "A cat" --trace --save f.txt ; walk
forward "A cat sat" --ablate 0.0,0.attention --ablate-with mean ; forward "A cat" --patch "A sat" --sweep head
generate "A cat" --max-tokens 2 --ablate 0.attention ; embed "A cat sat ." --project pca --similarity --save e.svg
made/llama: +tokenize HEART --steps ; encode "naïve" ; embed --ids - < document ; +attend HEART --find "heart->the"
+forward HEART ; forward HEART --patch "the hears" --sweep feedforward ; forward HEART --steer "the - er@1*2"
+diff HEART --against "the hand" ; forward --ids - --lines < ids ; forward --lines --lens < lines ; encode TALK DRAWN
encode "a<s>" --parse special ; +generate "the" --max-tokens 6 --prefix "re" --stop z ; embed TALK DRAWN ; forward FILE
generate "the" --max-tokens 5 --tree 2 --alternatives 2 ; forward HEART --saliency --gradient --engine jax ; walk FILE
generate the --engine jax --seed 1 ; tokenize TALK DRAWN --interactive ; attend TALK DRAWN ; forward TALK DRAWN
generate TALK DRAWN --max-tokens 2 ; walk TALK DRAWN --no-pause ; diff TALK DRAWN --against her ; verify DRAWN --offline
info DRAWN --offline --revision x ; encode FILE --workers 1 --offline ; embed FILE JAX ; attend FILE JAX --offline
generate FILE JAX --max-tokens 3 --offline ; diff FILE --against HEART ; diff --lines --against HEART --offline < words
generate HEART --ablate 1.0 --ablate-with mean --scale 0.1*2 --steer "the - er@1*2" --max-tokens 3
made/t5: +forward HEART --target "here" ; +generate HEART --max-tokens 4 --seed 2 ; attend HEART --target "her"
+attend HEART --part encoder --layer 1 ; embed HEART --at final ; diff HEART --against "the hand"
made/bert: +forward "the [MASK] of" --parse special ; tokenize "Unheard, of!" --steps ; generate the
embed "the hat" --pool mean --at final ; embed "one two" "three" --similarity --pool mean
o200k_base: tokenize TEXT ; +tokenize "naïve café 👩🏽‍🚀" ; tokenize --steps unaffable ; encode < bytes ; tokenize ""
encode --lines < lines ; encode --lines --ids - --decode < ids ; tokenize --count < prose ; tokenize --chat hi
encode --search * --longest --only unreachable --limit 3 ; tokenize --count --workers 2 --file inputs/prose ; forward hi
tokenize --count "a b" -c bytes -c gpt2 --cost "2 EUR" ; tokenize TEXT --truncate 2 --side start --inside-characters
none: encode HI --letters ; LLMINSPECT_MODEL=toy forward world ; +models ; +pull minilm DRAWN --offline
=LLMINSPECT_MODEL=toy forward moon ; +cache ; pull x --revision v ; cache verify ; +cache clear --yes
cache --limit 2GB ; cache clear --limit 20 --yes ; +cache verify model ; cache show nothing
LLMINSPECT_HOME=nowhere cache ; nonsense ; tokenize
forward hi --nonsense ; =--version ; attend TEXT --file inputs/lines ; forward --file inputs/nothing ; forward ; +schema
forward TEXT --lines ; forward --ids 1,x ; embed --ids -1 ; generate hi --stop "" ; =schema walk ; embed --analogy ""
attend hi --interactive ; forward hi --engine none ; forward hi --into 3.stream ; forward hi --surprise --lens
generate hi --stream --watch ; forward hi --kernels compiled --engine jax ; =schema tokenize ; =schema encode
cache DRAWN
=schema embed ; =schema attend ; =schema forward ; =schema generate ; =schema diff ; =schema models ; =schema pull
=schema info ; =schema verify ; =schema cache ; =schema schema ; =schema nothing ; models DRAWN ; schema DRAWN
golden/*: embed IDS --nearest 3 --similarity --project pca ; embed IDS --at 1 --pool mean ; +attend IDS ; info
attend IDS --query 2 ; attend IDS --rollout ; forward IDS --trace --layer 0-1 --steps --lens --all
attend IDS --layer 1 --head 1 --show weights,scores,scaled,capped,masked,queries,keys,values,added
forward IDS --attribution --versus #3 ; forward IDS --surprise ; generate IDS --max-tokens 3 --beams 2
generate IDS --max-tokens 3 --temperature 0.8 --seed 1 --n 2
golden/llama,golden/gemma3,golden/qwen3-moe,golden/bert,golden/marian,golden/t5-gated: embed IDS --positions ; verify
attend IDS --contributions ; attend IDS --find "3->1" ; attend IDS --layer 0 --save a.npz ; forward IDS --save f.npz
+forward IDS --saliency --ablate 1.0 --scale 0.feedforward*0.5 ; forward --ids 5,6,7,8,200 ; =info --tensors
attend IDS --part encoder --query 1 ; forward IDS --target-ids 9,10 ; diff IDS --against-model golden/smollm3
forward IDS --engine jax --trace ; generate IDS --patch x --into 1.stream ; =verify --bound 0 --record r.npz
golden/gpt2: tokenize hello ; tokenize --ids 5,6 ; encode --ids 5,6 ; =forward --ids 5,6
golden/nothing,some/model,smolm2: forward hi --offline --revision v1 ; info ; tokenize a
bytes,characters,words,gpt2,cl100k_base,p50k_base,p50k_edit,r50k_base,gpt-4o: tokenize 'Hello 1234 é' ; encode 'a b'
bytes: encode --decode 104,233 ; tokenize --lines --workers 2 < lines ; encode --search ?? --limit 2
letters: encode HI ; encode --decode 8,9 ; tokenize 'a, b' ; encode --lines < words ; =encode HI
o200k_harmony: tokenize '<|start|>hi' --parse special
"""
PARTS = ("code", "stderr", "stdout", "files")
TIME = re.compile(r" *(?<![\d.])\d+(?:\.\d+)? (?:µs|ms|s)(?=(?: |\x1b\[[\d;]*m|<[^>]*>)*$)", re.MULTILINE)
MERGES = (
    "t h,th e,Ġ the,e r,Ġ h,i n,a n,o n,r e,n d,Ġ a,Ġ s,e n,o u,i t,o r,a t,e s,Ġ o,Ġo f,Ġ b,Ġ w,Ġ c,Ġ m,l l,i s,a r,"
    "s t,Ġh e,Ġhe ar,in g,an d"
).split(",")
TOKENS = ["<pad>", "<s>", "</s>", *map(chr, range(33, 127)), "Ġ", "Ċ", *(merge.replace(" ", "") for merge in MERGES)]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
PIECES += [*"the of hat un ##heard one two three . , !".split(), *(f"[unused{index}]" for index in range(63))]


def command_lines() -> list[str]:
    """Every command line with its model, as a shell would take it; those of large models first, for they last."""
    found: list[str] = []
    models = [""]
    every = ",".join(f"golden/{path.parent.name}" for path in sorted(GOLDEN.glob("*/config.json")))
    for row in MATRIX.strip().splitlines():
        named = re.match(r"([\w/,*-]+): ", row)
        if named:
            models = named[1].replace("golden/*", every).replace("none", "").split(",")
        for entry in row[named.end() if named else 0 :].split(" ; "):
            written = re.sub("|".join(TEXTS), lambda match: TEXTS[match[0]], entry.lstrip("+="))
            line, after, stdin = written.partition(" < ")
            for model in models:
                target = line.startswith("attend") and model.startswith(("golden/marian", "golden/t5"))
                given = line + f" -m {model}" * bool(model) + " --target-ids 9,10,11" * target
                forms = {"+": [" --json", ""], "=": [""]}.get(entry[0], [" --json"])
                found += [given + form + after + stdin for form in forms]
    return list(dict.fromkeys(found))


def make_models(folder: Path) -> None:
    """Golden models with a tokenizer: `llama` and `t5` with byte pairs, `bert` with pieces of words."""
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    tokenizer = {
        "version": "1.0",
        "added_tokens": [{"id": index, "content": TOKENS[index], "special": True, **flags} for index in range(3)],
        **dict.fromkeys(("pre_tokenizer", "decoder"), level),
        "model": {"type": "BPE", "vocab": {token: index for index, token in enumerate(TOKENS)}, "merges": MERGES},
    }
    template = "{% for message in messages %}<s>{{ message.role }}:{{ message.content }}</s>{% endfor %}"
    settings = {"bos_token": "<s>", "eos_token": "</s>", "chat_template": template}
    byte_pairs = {"tokenizer.json": json.dumps(tokenizer), "tokenizer_config.json": json.dumps(settings)}
    for name, files in (("llama", byte_pairs), ("t5", byte_pairs), ("bert", {"vocab.txt": "\n".join(PIECES)})):
        shutil.copytree(GOLDEN / name, folder / name)
        for file, text in files.items():
            (folder / name / file).write_text(text)


def make_cache(folder: Path) -> None:
    """A cache folder for `cache` to show and to clear: damaged models, a leftover, small files, and a stranger's."""
    names = [f"hashes/{'0' * 32}.json", f"prepared/.x.{'1' * 12}.partial", "prepared/strange", "locks/pull-minilm.lock"]
    names += ["models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "models/minilm/config.json", "notes.txt"]
    for age, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
        os.utime(folder / name, (1_700_000_000 + age, 1_700_000_000 + age))


def environment() -> dict[str, str]:
    """Without the settings and the terminal of whoever runs this, without a network, with one order of additions."""
    ours = ("LINES", "NO_COLOR", "FORCE_COLOR", "LLMINSPECT_MODEL", "LLMINSPECT_ENGINE", "LLMINSPECT_KERNELS")
    found = {key: value for key, value in os.environ.items() if key not in ours}
    if "PYTHONPATH" in found:
        found["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, found["PYTHONPATH"].split(os.pathsep)))
    found |= {"COLUMNS": "80", "TERM": "dumb", "TZ": "UTC", "HF_HUB_OFFLINE": "1", "HF_HOME": "hub"}
    return found | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}


def run(line: str, work: Path, folder: Path) -> dict[str, Any]:
    """What one command line wrote, in a folder of its own that holds nothing else."""
    folder.mkdir()
    for name in ("golden", "made", "inputs"):
        (folder / name).symlink_to(work / name)
    words, _, stdin = line.partition(" < ")
    given, variables = shlex.split(words), environment()
    if given[0] == "cache":
        make_cache(folder / "home")
        variables["LLMINSPECT_HOME"] = "home"
    while re.match(r"[A-Z_]+=", given[0]):
        name, _, variables[name] = given.pop(0).partition("=")
    data = (work / "inputs" / stdin).read_bytes() if stdin else b""
    command = [sys.executable, "-m", "llminspect", *given]
    ran = subprocess.run(command, cwd=folder, env=variables, input=data, capture_output=True, check=False)
    out, err = (equalled(data, folder) for data in (ran.stdout, ran.stderr))
    return {"run": line, "code": ran.returncode, "stdout": out, "stderr": err, "files": files_of(folder)}


def equalled(data: bytes, folder: Path) -> str:
    """The text without what differs between two runs: the folders, and durations with the room that columns make."""
    text = data.decode("utf-8", "backslashreplace").replace(str(folder), "HERE").replace(folder.parent.name, "WORK")
    text = re.sub(r'"(seconds|used)": ?(?!170000000)[0-9.e+-]+', r'"\1":0', text)
    if TIME.search(text):
        text = re.sub("(?m)[█▏▎▍▌▋▊▉]+ *(?=.*TIME)", "█", TIME.sub(" TIME", text))
        text = re.sub(" {2,}", " ", re.sub("─+", "─", text))
    return text


def files_of(folder: Path) -> dict[str, Any]:
    """The files that were saved, by their contents: the sum of a text as `equalled` has it, of each array in an npz."""
    found: dict[str, Any] = {}
    for path in sorted(Path(place, name) for place, _, names in os.walk(folder) for name in names):
        data = path.read_bytes()
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                kept: Any = {key: f"{a.dtype} {a.shape} {digest(a.tobytes())}" for key, a in arrays.items()}
        else:
            kept = digest(data if path.suffix == ".png" else equalled(data, folder).encode())
        found[str(path.relative_to(folder))] = kept
    return found


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def record(target: Path) -> None:
    """Run everything, two at a time, and write it in the order of the matrix."""
    lines, since = command_lines(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="json-matrix-") as temporary:
        work = Path(temporary).resolve()
        make_all(GOLDEN)
        (work / "golden").symlink_to(GOLDEN)
        (work / "inputs").mkdir()
        for name, content in INPUTS.items():
            (work / "inputs" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        make_models(work / "made")
        for index, line in enumerate(("forward a -m smollm2", "embed a -m minilm")):
            run(line, work, work / f"first-{index}")  # What is prepared once is said once.
        with ThreadPoolExecutor(2) as pool:
            runs = list(pool.map(lambda item: run(item[1], work, work / f"{item[0]:04}"), enumerate(lines)))
    target.mkdir(parents=True, exist_ok=True)
    (target / "runs.jsonl").write_text("".join(json.dumps(done) + "\n" for done in runs))
    crashed = [f"crashed: {done['run']}" for done in runs if "Traceback" in done["stderr"]]
    print(f"{len(runs)} runs in {time.monotonic() - since:.0f} s", *crashed, sep="\n")


def compare(first: Path, second: Path) -> int:
    """Print what differs; how many command lines do."""
    texts = [(folder / "runs.jsonl").read_text() for folder in (first, second)]
    one, other = ({done["run"]: done for done in map(json.loads, text.split("\n")[:-1])} for text in texts)
    differing = 0
    for line in dict.fromkeys([*one, *other]):
        parts = {part: (one.get(line, {}).get(part), other.get(line, {}).get(part)) for part in PARTS}
        message = [f"{part} {difference(*pair)}" for part, pair in parts.items() if pair[0] != pair[1]]
        differing += bool(message)
        if message:
            print(line, *message, sep="\n    ")
    print(f"{differing} of {len(one.keys() | other.keys())} differ")
    return differing


def difference(one: Any, other: Any) -> str:
    """Where two values part, and what stands around it."""
    texts = [value if isinstance(value, str) else json.dumps(value) for value in (one, other)]
    at = next((at for at, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts)))
    return f"at {at}: " + " | ".join(text[max(0, at - 80) : at + 60] for text in texts)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["record", folder]:
            record(Path(folder))
        case ["compare", first, second]:
            sys.exit(1 if compare(Path(first), Path(second)) else 0)
        case _:
            sys.exit(__doc__)
