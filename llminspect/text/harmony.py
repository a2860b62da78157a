"""Harmony, the form of chats with gpt-oss, as a template over the tokens of `o200k_harmony`.

Source: OpenAI, "OpenAI harmony response format" (2025), and what its renderer openai-harmony 0.0.8 writes. A tool's
result is of the tool that its call names; thoughts stand only where no answer follows them. The date is today's unless
`--template-option current_date='"2025-06-28"'` says another.
"""

from __future__ import annotations

TEMPLATE = r"""
{%- macro kind(spec, indent, step='    ') -%}
{%- if spec.oneOf -%}
{%- for entry in spec.oneOf -%}{{ '\n' + indent + ' | ' }}{{ kind(entry, indent, '   ') }}{%- endfor -%}
{{ '\n' + indent }}
{%- elif spec.enum -%}
{%- for entry in spec.enum -%}{{ ' | ' if not loop.first }}{{ entry | tojson }}{%- endfor -%}
{%- elif spec.type == 'object' -%}
{{ '{\n' }}{{ fields(spec, indent + step) if spec.properties }}{{ indent + step + '}' }}
{%- elif spec.type == 'array' -%}
{{ kind(spec['items'], indent) + '[]' if 'items' in spec else 'Array<any>' }}
{%- elif spec.type is string -%}
{{ {'integer': 'number'}.get(spec.type, spec.type) }}
{%- elif spec.type and spec.type is sequence -%}
{%- for entry in spec.type -%}{{ ' | ' if not loop.first }}{{ kind({'type': entry}, indent) }}{%- endfor -%}
{%- else -%}
any
{%- endif -%}
{%- endmacro -%}
{%- macro fields(schema, indent) -%}
{%- for name, spec in schema.properties.items() -%}
{%- if spec.description -%}{{ indent + '// ' + spec.description + '\n' }}{%- endif -%}
{{ indent + name }}{{ '?' if name not in (schema.required or []) }}{{ ':' if spec.oneOf else ': ' }}
{{- kind(spec, indent) }}{{ ',' }}
{%- if spec.default is defined -%}
{{ ' // default: ' }}{{ spec.default if spec.enum and spec.default is string else spec.default | tojson }}
{%- endif -%}
{{ '\n' }}
{%- endfor -%}
{%- endmacro -%}
{%- macro instructions(text, tools) -%}
{{ '<|start|>developer<|message|>' }}
{%- if text -%}{{ '# Instructions\n\n' }}{{ text }}{{ '\n\n' if tools }}{%- endif -%}
{%- if tools -%}
{{ '# Tools\n\n## functions\n\nnamespace functions {\n\n' }}
{%- for entry in tools -%}
{%- set tool = entry.function or entry -%}
{{ '// ' + (tool.description or '') + '\ntype ' + tool.name + ' = ' }}
{%- if tool.parameters and tool.parameters.properties -%}
{{ '(_: {\n' }}{{ fields(tool.parameters, '') }}{{ '}) => any;\n\n' }}
{%- else -%}
{{ '() => any;\n\n' }}
{%- endif -%}
{%- endfor -%}
{{ '} // namespace functions' }}
{%- endif -%}
{{ '<|end|>' }}
{%- endmacro -%}
{{ '<|start|>system<|message|>' }}
{{- model_identity or 'You are ChatGPT, a large language model trained by OpenAI.' }}
{{- '\nKnowledge cutoff: 2024-06\nCurrent date: ' }}{{ current_date or strftime_now('%Y-%m-%d') }}
{{- '\n\nReasoning: ' }}{{ reasoning_effort or 'medium' }}
{{- '\n\n# Valid channels: analysis, commentary, final. Channel must be included for every message.' }}
{{- "\nCalls to these tools must go to the commentary channel: 'functions'." if tools }}
{{- '<|end|>' }}
{%- set leads = messages[0].role in ('system', 'developer') -%}
{%- if leads or tools -%}{{ instructions(messages[0].content if leads else '', tools) }}{%- endif -%}
{%- set answered = namespace(to=-1) -%}
{%- set called = namespace(name='', names={}) -%}
{%- for message in messages -%}
{%- if message.role == 'assistant' and not message.tool_calls -%}{%- set answered.to = loop.index0 -%}{%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
{%- if message.role in ('system', 'developer') -%}
{%- if not loop.first -%}{{ instructions(message.content, none) }}{%- endif -%}
{%- elif message.role == 'user' -%}
{{ '<|start|>user<|message|>' }}{{ message.content }}{{ '<|end|>' }}
{%- elif message.role == 'tool' -%}
{%- set named = namespace(name=message.name or called.name) -%}
{%- for call in called.names -%}
{%- if call == message.tool_call_id -%}{%- set named.name = called.names[call] -%}{%- endif -%}
{%- endfor -%}
{%- if not named.name -%}{{ raise_exception('a tool answers that no message before it calls') }}{%- endif -%}
{{ '<|start|>functions.' + named.name + ' to=assistant<|channel|>commentary<|message|>' }}{{ message.content }}
{{- '<|end|>' }}
{%- elif message.role == 'assistant' -%}
{%- if message.thinking and loop.index0 > answered.to -%}
{{ '<|start|>assistant<|channel|>analysis<|message|>' }}{{ message.thinking }}{{ '<|end|>' }}
{%- endif -%}
{%- if message.content -%}
{{ '<|start|>assistant<|channel|>' }}{{ 'commentary' if message.tool_calls else 'final' }}{{ '<|message|>' }}
{{- message.content }}{{ '<|end|>' }}
{%- endif -%}
{%- for call in message.tool_calls or [] -%}
{%- set called.name = call.function.name -%}
{%- set called.names = dict(called.names, **{call.id or '': call.function.name}) -%}
{{ '<|start|>assistant to=functions.' + call.function.name + '<|channel|>commentary <|constrain|>json<|message|>' }}
{%- set given = call.function.arguments -%}
{{ given if given is string else given | tojson }}{{ '<|call|>' }}
{%- endfor -%}
{%- else -%}
{{ raise_exception('Harmony has no role ' + message.role) }}
{%- endif -%}
{%- endfor -%}
{{ '<|start|>assistant' if add_generation_prompt }}
"""
