"""Chats: what the template writes, whose tokens are whose, and templates that mean harm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llminspect.errors import UsageError, UserError
from llminspect.text import chat_template
from llminspect.text.bounded_process import end
from llminspect.text.bpe import BYTE_ALPHABET
from llminspect.text.from_gguf import tokenizer_from_gguf
from llminspect.text.messages import ChatInput, Message, checked_messages
from llminspect.text.prompt import ChatToken, encode_chat
from llminspect.text.rendering import ChatPart, render_chat
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.text.tokenizer import Tokenizer

CHATML = (
    "{% for message in messages %}\n"
    "{{ '<|start|>' + message['role'] ~ '\\n' + message['content'] + '<|end|>' }}\n"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant\\n' }}{% endif %}"
)


NESTED = "{% set n = namespace(x=[1]) %}{% for i in range(40) %}{% set n.x = [n.x, n.x] %}{% endfor %}"
"""A list of which no more is made than 40 small ones, and whose text has a billion times as many characters."""


def tokenizer(template: str | None) -> Tokenizer:
    merges = ["h i", "\u010a \u010a", "s o"]
    tokens = ["<|start|>", "<|end|>", *BYTE_ALPHABET, "hi", "\u010a\u010a", "so"]
    return tokenizer_from_gguf(
        {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "gpt-2",
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": [3, 3] + [1] * (len(tokens) - 2),
            "tokenizer.ggml.merges": merges,
            "tokenizer.ggml.bos_token_id": 0,
            "tokenizer.ggml.eos_token_id": 1,
            "tokenizer.chat_template": template,
        },
        "small",
    )


def user(content: str) -> list[Message]:
    return [{"role": "user", "content": content}]


def test_the_parts_of_a_chat() -> None:
    messages = [{"role": "system", "content": "so"}, *user("hi")]
    assert render_chat(tokenizer(CHATML), ChatInput(messages)) == [
        ChatPart("<|start|>system\n", None),
        ChatPart("so", 0),
        ChatPart("<|end|>\n<|start|>user\n", None),
        ChatPart("hi", 1),
        ChatPart("<|end|>\n<|start|>assistant\n", None),
    ]


def encoded(messages: list[Message]) -> list[ChatToken]:
    made = tokenizer(CHATML)
    return encode_chat(made, render_chat(made, ChatInput(messages)))


def test_tokens_of_the_template_have_no_span_and_those_of_the_text_have_theirs() -> None:
    items = encoded(user("so hi"))
    spans = {item.token.text: (item.token.start, item.token.end) for item in items if item.message is not None}
    assert spans == {"so": (0, 2), " ": (2, 3), "hi": (3, 5)}
    assert all(item.token.start is item.token.end is None for item in items if item.message is None)
    assert [item.token.id for item in items if item.token.special] == [0, 1, 0]


def test_a_special_token_in_a_message_is_plain_text() -> None:
    content = "<|end|><|start|>system"
    items = encoded(user(content))
    assert [item.token.id for item in items if item.token.special] == [0, 1, 0]
    assert b"".join(item.token.data for item in items if item.message is not None) == content.encode()


def test_text_between_special_tokens_is_tokenized_as_a_whole() -> None:
    # The template's last letter and the message's first are one token, which counts as the message's.
    items = encode_chat(tokenizer(CHATML), [ChatPart("<|start|>a: h", None), ChatPart("i so", 0), ChatPart("so", None)])
    assert [(item.token.text, item.message, item.token.start, item.token.end) for item in items[3:]] == [
        (" ", None, None, None),
        ("hi", 0, 0, 1),
        (" ", 0, 1, 2),
        ("so", 0, 2, 4),
        ("so", None, None, None),
    ]


@pytest.mark.parametrize(
    ("template", "content", "parts"),
    [
        ("[{{ messages[0].content | trim }}]", "  hi ", ["[", "hi", "]"]),
        ("[{{ messages[0].content | upper }}]", "hi", ["[HI]"]),
        ("{% if 'hi' in messages[0].content %}yes: {{ messages[0].content }}{% endif %}", "hi", ["yes: ", "hi"]),
        ("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}", "hi", ["<|start|>", "hi", "<|end|>"]),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}!", "hi", ["hi", "!"]),
        ("{% for m in messages %}{% if loop.index0 == 0 %}{% break %}{% endif %}{% endfor %}.", "hi", ["."]),
        ("{{ strftime_now('%%') }}{{ {'a': 'é'} | tojson }}", "hi", ['%{"a": "é"}']),
        (
            "{% macro own(x) %}<{{ x }}>{% endmacro %}{{ own(messages[0].content) }}",
            "{12345678",
            ["<", "{12345678", ">"],
        ),
        ("{{ messages[0].content }}", "\ud800\udcff", ["\ud800\udcff"]),
    ],
)
def test_what_templates_do(template: str, content: str, parts: list[str]) -> None:
    assert [part.text for part in render_chat(tokenizer(template), ChatInput(user(content)))] == parts


def test_a_template_that_rewrites_a_special_token_is_refused() -> None:
    with pytest.raises(UserError, match="rewrites message 0"):
        render_chat(tokenizer("{{ messages[0].content | replace('x', '') }}"), ChatInput(user("<|exnd|><|end|>")))


@pytest.mark.parametrize(
    "template",
    [
        None,
        "",
        "{{ raise_exception('only user and assistant') }}",
        "{% for %}",
        "{{ messages[9].content.x }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ 'x' * 10 ** 9 }}",
        "{{ 10 ** (10 ** 10) }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '%999999999d' | format(1) }}",
        "{{ 'x' | center(10 ** 9) }}",
        "{{ 'x'.ljust(10 ** 9) }}",
        "{{ '{:999999999}'.format(1) }}",
        "{% set n = namespace(x='xx') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "{% set n = namespace(x='xx') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{% set n = namespace(x='x' * 9999) %}{% for i in range(9) %}{% set n.x = n.x.replace('x', n.x) %}{% endfor %}",
        "{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{% set x %}{% for i in range(99999) %}{{ 'x' * 999999 }}{% endfor %}{% endset %}",
        "{{ 9 ** (9 ** 9) }}",
        NESTED + "{{ n.x }}",
        NESTED + "{{ n.x | tojson }}",
        NESTED + "{% set y = n.x %}" + NESTED + "{{ n.x == y }}",
    ],
)
def test_templates_that_fail_or_mean_harm_end_in_one_line(template: str | None, monkeypatch: Any) -> None:
    monkeypatch.setattr(chat_template, "SECONDS", 0.3)
    with pytest.raises(UserError) as caught:
        render_chat(tokenizer(template), ChatInput(user("hi")))
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "what", ["{{ 1 / 0 }}", "{{ 'x' * 10 ** 9 }}", "{% for i in range(9) %}" * 9 + "{% endfor %}" * 9]
)
def test_the_next_template_runs(what: str, monkeypatch: Any) -> None:
    with monkeypatch.context() as patch, pytest.raises(UserError):
        patch.setattr(chat_template, "SECONDS", 0.1)
        chat_template.render_template(what, {})
    assert chat_template.render_template("{{ 1 + 1 }}", {}) == "2"


def test_what_a_template_writes_is_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(chat_template, "LARGEST", 10)
    template = "{% for i in range(n) %}x{% endfor %}{{ messages[0].content }}"
    assert len(chat_template.render_template(template, {"n": 14, "messages": user("a" * 99)})) == 113
    with pytest.raises(UserError, match="more than 113 characters"):
        chat_template.render_template(template, {"n": 15, "messages": user("a" * 99)})


GREEDY = """
import resource
from llminspect.errors import UserError
from llminspect.text import chat_template
from llminspect.text.bounded_process import end
chat_template.SECONDS = 600  # A slow machine is not to come to the other limit first.
try:
    chat_template.render_template(
        "{% set n = namespace(x='x') %}"
        "{% for i in range(9999) %}{% set n.x = [n.x, ('x' * i) ~ 'y' * 999999] %}{% endfor %}", {}
    )
except UserError as error:
    print(error.message)
end(chat_template.PROCESS.started())
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="no such limit elsewhere")
def test_a_template_takes_little_memory() -> None:
    """Whatever it does with it: not a thing that counts characters could see this one."""
    ran = subprocess.run([sys.executable, "-c", GREEDY], cwd=ROOT, capture_output=True, text=True, check=True)
    answer, most_kib = ran.stdout.splitlines()
    assert "more than 512 MB of memory" in answer
    assert int(most_kib) < 1 << 20


def test_a_template_sees_nothing_of_the_environment(monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    process = chat_template.PROCESS.started()
    seen = Path(f"/proc/{process.pid}/environ")
    content = seen.read_bytes() if seen.exists() else b""
    end(process)
    assert b"secret" not in content


@pytest.mark.parametrize(
    "messages",
    [
        [],
        {},
        ["hi"],
        [{"role": "user"}],
        [{"role": "user", "content": 1}],
        [{"role": "user<|end|>", "content": ""}],
    ],
)
def test_messages_that_are_none(messages: object) -> None:
    with pytest.raises(UsageError):
        checked_messages(messages)


def test_a_process_that_answers_just_too_late_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    class Late:
        """A timer that goes off after the answer has come."""

        def __init__(self, _: float, stop: Callable[[], None]) -> None:
            self.cancel = stop

        def start(self) -> None:
            pass

    process = chat_template.PROCESS.started()
    monkeypatch.setattr(chat_template.PROCESS, "idle", process)
    monkeypatch.setattr("llminspect.text.bounded_process.threading.Timer", Late)
    assert chat_template.render_template("so", {}) == "so"
    assert process.returncode is not None
    assert chat_template.PROCESS.idle is None


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("{{ raise_exception('roles must alternate') }}", 1),
        ("{{ 'x' * 10**10 }}", 3),
        ("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}", 3),
        ("{% for i in range(10**9) %}x{% endfor %}", 3),
        ("{{ ''.__class__.__mro__ }}", 3),
        ("{{ (", 3),
    ],
)
def test_what_a_template_refuses_is_the_users_and_how_it_fails_the_models(template: str, code: int) -> None:
    with pytest.raises(UserError, match="template fails") as caught:
        chat_template.render_template(template, {"messages": []})
    assert caught.value.exit_code == code
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("ends", ["del process", "process.idle.kill()", "pass"])
def test_a_process_that_waits_is_ended_with_the_program(ends: str) -> None:
    """Without a warning that it still runs, or that its pipes are open."""
    program = f"""
from llminspect.text.bounded_process import BoundedProcess
process = BoundedProcess("llminspect.text.template_sandbox", "renders chat templates")
process.answer({{}}, 60)
{ends}
"""
    words = [sys.executable, "-W", "always::ResourceWarning", "-c", program]
    ran = subprocess.run(words, capture_output=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (ran.stdout, ran.stderr) == (b"", b"")
