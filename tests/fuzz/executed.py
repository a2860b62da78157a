"""What is executed, and what is piped in: chat templates and ids."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from llminspect.arguments.ranges import parse_ids
from llminspect.errors import UserError
from llminspect.text import chat_template
from tests.fuzz import mutate, samples

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

from tests.fuzz.refusal import refused

PIECES = """
{% for message in messages %} {% endfor %} {% for i in range(1000000) %} {% if true %} {% endif %} {% else %}
{% set x = messages[0].content %} {% set x = x ~ x %} {% set x = x * 9999999 %} {% macro f(n) %} {% endmacro %}
{{ f(1) }} {{ x }} {{ f.__globals__ }} {{ ''.__class__.__mro__[1].__subclasses__() }} {{ messages.append(1) }}
{{ x | length }} {{ x | replace('a', x) }} {{ '%999999999d' % 1 }} {{ x | center(999999999) }} {{ x | list | join(x) }}
{{ cycler.__init__.__globals__ }} {{ namespace(a=x) }} {{ lipsum(9999) }} {{ raise_exception('\x1b[2J') }} {{ 9**9**9 }}
{{ messages | tojson(indent=99999999) }} {{ dict(a=1) | xmlattr }} {% include 'x' %} {% import 'os' as os %} {{ self }}
{{ joiner()._module }} {{ messages | map(attribute='__class__') | list }} {{ range(99999999) | sum }} {{ x.format(x) }}
{{ '{:>99999999}'.format(1) }} {{ '{0.__class__}'.format(x) }} {{ x | batch(99999999, 'a') | list }} {{ x | slice(9) }}
{% generation %} {% endgeneration %} {% break %} {% continue %} {{ strftime_now('%Y') }} {{ x | pprint }} {{ 1 / 0 }}
{{ x | wordwrap(1) }} {{ x | urlize }} {{ x | groupby('a') }} {{ loop.index }} {{- x -}} {{ messages[9] }} {# # {{ }} {%
""".split("\n")


def made_template(random: Random) -> bytes:
    if random.random() < 0.3:
        return mutate.changed_bytes(random, samples.CHAT.encode())
    pieces = [piece for line in PIECES for piece in _templates(line)]
    return "".join(random.choice(pieces) for _ in range(random.randint(1, 12))).encode()


@cache
def _templates(line: str) -> list[str]:
    return [part.strip() + close for open_ in ("}}", "%}") for part in line.split(open_) if (close := open_)]


def check_template(folder: Path, content: bytes) -> bool:
    messages = [{"role": "user", "content": "abc"}]
    try:
        text = chat_template.render_template(content.decode("utf-8", "surrogateescape"), {"messages": messages})
    except UserError as error:
        return refused(error)
    assert len(text) <= chat_template.LARGEST + len("userabc")
    return True


def made_ids(random: Random) -> bytes:
    if random.random() < 0.5:
        return mutate.changed_bytes(random, b"1, 2 3,4444")
    document = {"schema": 1, "ids": [1, 2, 3], "tokens": [{"id": 1, "text": "a"}]}
    return mutate.json_bytes(random, mutate.changed_json(random, document))


def check_ids(folder: Path, content: bytes) -> bool:
    try:
        ids = parse_ids(content.decode("utf-8", "surrogateescape"))
    except UserError as error:
        return refused(error)
    assert all(type(i) is int and i >= 0 for i in ids)
    return True
