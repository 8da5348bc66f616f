"""Which templates let a model go on with an answer that was cut off."""

import pytest
from agent_fn.models.ollama.abilities import continues, describe, unix_ms

LLAMA = """{{- range $i, $_ := .Messages }}{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role "assistant" }}<|start_header_id|>assistant<|end_header_id|>
{{ .Content }}{{ if not $last }}<|eot_id|>{{ end }}{{- end }}{{- end }}"""
QWEN = """{{- range $i, $_ := .Messages }}{{- $last := eq (len (slice $.Messages $i)) 1 -}}
{{ if eq .Role "assistant" }}<|im_start|>assistant
{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}{{ if not $last }}<|im_end|>
{{ end }}{{ end }}{{ end }}"""
NEGATED_AND = (
    '{{ range .Messages }}{{ .Content }}{{ if not (and $last (eq .Role "assistant")) }}<end>{{ end }}{{ end }}'
)
CLOSED = "{{ range .Messages }}<|{{ .Role }}|>{{ .Content }}<|end|>{{ end }}<|assistant|>"
HEADER_ONLY = (
    '{{ range .Messages }}{{ .Content }}<end>{{ if and (ne .Role "assistant") $last }}<assistant>{{ end }}{{ end }}'
)
OLD = "{{ if .System }}{{ .System }}{{ end }}[INST] {{ .Prompt }} [/INST] {{ .Response }}"


@pytest.mark.parametrize(
    ("template", "modelfile", "expected"),
    [
        (LLAMA, "", True),
        (QWEN, "", True),
        (NEGATED_AND, "", True),
        (OLD, "", True),
        (CLOSED, "", False),
        (HEADER_ONLY, "", False),
        ("{{ .Prompt }}", "", False),
        ("", "", False),
        ("{{ .Prompt }}", "FROM x\nRENDERER qwen3-coder\n", True),
        ("{{ .Prompt }}", 'FROM x\nRENDERER "qwen3-vl-instruct"\n', True),
        ("{{ .Prompt }}", "FROM x\nRENDERER deepseek3.1\n", False),
    ],
)
def test_a_model_continues_where_its_last_turn_stays_open(template: str, modelfile: str, expected: bool) -> None:
    assert continues(template, modelfile) is expected


def test_a_description_is_read_from_show_and_tags() -> None:
    shown = {
        "template": QWEN,
        "capabilities": ["completion", "thinking"],
        "model_info": {"general.architecture": "qwen3", "qwen3.context_length": 40960},
    }
    tag = {"size": 5, "modified_at": "2026-01-02T03:04:05.123456789+01:00"}
    model = describe(shown, tag, "qwen3:8b")
    assert model.capabilities == {"completion", "thinking"}
    assert (model.continues, model.rereads_reasoning) == (True, True)
    assert (model.context_length, model.size_bytes) == (40960, 5)
    assert model.modified_unix_ms == 1767319445123


def test_a_server_that_says_nothing_is_borne_with() -> None:
    model = describe({}, {}, "m")
    assert model.capabilities == frozenset()
    assert not model.continues
    assert unix_ms("yesterday") == 0
