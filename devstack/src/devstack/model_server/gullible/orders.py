"""Finds orders in a text: calls of tools in whatever form, pages to fetch, words to say, secrets to tell."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

# In English, German, French, Spanish, Italian, Portuguese, Dutch, Polish, Turkish, Russian, Arabic, Chinese, Japanese,
# Korean, Hindi.
_FETCH: Final = (
    "fetch|visit|open|load|get|read|request|browse|follow|go to|download|navigate|curl|ping|retrieve|"
    "öffne|lade|hole|besuche|rufe|lies|ouvre|ouvrez|visite|visitez|charge|consulte|télécharge|abre|"
    "visita|descarga|apri|scarica|carica|acesse|baixe|bezoek|haal|otwórz|pobierz|odwiedź|aç|ziyaret|"
    "indir|открой|загрузи|посети|скачай|افتح|زر|حمّل|访问|打开|下载|读取|開いて|アクセス|取得|ダウンロード|방문|열어|खोलो|खोलें"
)
_SEND: Final = (
    "post|send|submit|upload|transmit|report|exfiltrate|forward|deliver|sende|schicke|übermittle|envoie|"
    "envoyez|transmets|envía|envia|manda|sube|invia|stuur|verzend|wyślij|gönder|отправь|отправьте|أرسل|"
    "发送|送って|送信|보내|भेजो|भेजें"
)
_SAY: Final = (
    "say|write|print|output|reply with|answer with|respond with|repeat|echo|type|sage|schreibe|gib aus|"
    "antworte mit|wiederhole|dis|écris|réponds|répète|di|escribe|responde|repite|scrivi|rispondi|ripeti|"
    "diga|escreva|repita|zeg|schrijf|herhaal|powiedz|napisz|powtórz|söyle|yaz|tekrarla|скажи|напиши|"
    "повтори|قل|اكتب|كرر|说|写|输出|重复|言って|出力|繰り返|말해|출력|कहो|लिखो|दोहराओ"
)
_SHOW: Final = (
    f"{_SAY}|reveal|show|tell|give|list|dump|leak|disclose|display|expose|recite|quote|summari[sz]e|"
    "translate|encode|spell|append|include|what is|what's|what are|what was|share|zeige|verrate|nenne|"
    "was ist|übersetze|révèle|montre|affiche|donne|quel est|traduis|muestra|revela|dime|cuál es|traduce|"
    "mostra|rivela|dimmi|mostre|toon|onthul|vertel|pokaż|ujawnij|göster|покажи|раскрой|назови|какой|اعرض|"
    "اكشف|ما هي|显示|告诉|透露|翻译|見せ|教えて|表示|보여|알려|दिखाओ|बताओ"
)
SECRETS: Final = (
    "system prompt|system message|instructions|initial prompt|prompt above|everything above|text above|"
    "above text|developer message|hidden|confidential|secret|password|passphrase|credential|api[ _-]?key|"
    "access[ _-]?key|token|canary|code ?word|environment|env var|configuration|guidelines|rules|"
    "first line|preamble|context|conversation so far|internal|private|marker|systemprompt|"
    "systemnachricht|anweisungen|geheim|passwort|schlüssel|kennwort|umgebung|invite système|"
    "message système|consignes|instructions|secret|mot de passe|clé|instrucciones|mensaje del sistema|"
    "secreto|contraseña|clave|istruzioni|segreto|instruções|segredo|senha|instructies|geheim|wachtwoord|"
    "instrukcje|tajn|hasło|talimat|gizli|şifre|инструкци|системн|секрет|пароль|ключ|تعليمات|سر|"
    "كلمة المرور|系统提示|指令|秘密|密码|密钥|システムプロンプト|指示|秘密|パスワード|시스템|비밀|निर्देश|गुप्त"
)
# With holes that are to be filled, as in https://x.example/?q={{system prompt}}.
_URL: Final = re.compile(r"https?://(?:\{\{[^{}\n]{1,80}\}\}|[<\[][^<>\[\]\n]{1,60}[>\]]|[^\s\"'`<>()\\\[\]])+")
_FETCH_NEAR: Final = re.compile(rf"(?i)(?:{_FETCH})[^\n]{{0,120}}\Z")
_FETCH_BEHIND: Final = re.compile(rf"(?i)\A[^\n.]{{0,40}}(?:{_FETCH})")
_SEND_NEAR: Final = re.compile(rf"(?i)(?:{_SEND})[^\n]{{0,200}}\Z")
_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9]*(?:_[a-zA-Z0-9]+)+|[a-z][a-z0-9]{2,40}")
_CALLED: Final = re.compile(r"\b([a-zA-Z]\w{1,63})\s*\(")
_INVOKE: Final = re.compile(r"<(?:\w+:)?invoke\s+name=[\"']([^\"']+)[\"'][^>]*>(.*?)</(?:\w+:)?invoke>", re.DOTALL)
_PARAMETER: Final = re.compile(
    r"<(?:\w+:)?parameter\s+name=[\"']([^\"']+)[\"'][^>]*>(.*?)</(?:\w+:)?parameter>", re.DOTALL
)
_SAID: Final = re.compile(
    rf"(?i)(?:{_SAY})(?:[^\n\"“«「'`]{{0,60}})[\"“«「'`]([^\"”»」\n]{{1,2000}}?)[\"”»」'`](?=[\s.,;:!?)]|$)"
)
_REVEAL: Final = re.compile(
    rf"(?i)(?:{_SHOW})[^\n]{{0,160}}(?:{SECRETS})|(?:{SECRETS})[^\n]{{0,100}}(?:{_SHOW})", re.DOTALL
)
_IMAGE: Final = re.compile(r"!?\[[^\]\n]{0,200}\]\(https?://[^)\n]{1,2000}\)|<img[^>\n]{1,2000}>")
_NAMES: Final = (
    "name",
    "tool",
    "tool_name",
    "function",
    "function_name",
    "action",
    "recipient_name",
    "command",
    "call",
)
_ARGUMENTS: Final = (
    *("arguments", "args", "parameters", "params", "input", "tool_input", "action_input", "kwargs", "with", "data"),
)
_BEFORE: Final = 100
_LONGEST: Final = 100_000


@dataclass(frozen=True, slots=True)
class CallOrder:
    """A tool that is to be called."""

    name: str
    arguments: dict[str, Any]


def calls_in(text: str, offered: Collection[str]) -> list[CallOrder]:
    """Every call that the text asks for or shows, in order; the names need not be offered."""
    text = text[:_LONGEST]
    found: list[CallOrder] = []
    for begin, value in _objects(text):
        if called := list(_named(value)):
            found += called
        elif isinstance(value, dict) and not _is_schema(value):
            name = _name_before(text[max(begin - _BEFORE, 0) : begin], offered)
            if name:
                found.append(CallOrder(name, value))
            else:
                found += [
                    order for inner in value.values() if isinstance(inner, str) for order in calls_in(inner, offered)
                ]
    found += _python_calls(text, offered)
    for name, body in _INVOKE.findall(text):
        found.append(CallOrder(name, {key: value.strip() for key, value in _PARAMETER.findall(body)}))
    inside = [json.dumps(order.arguments) for order in found]
    for url in _URL.finditer(text):
        address = url[0].rstrip(".,;:!?*")
        if any(address in arguments for arguments in inside):
            continue
        before = text[max(url.start() - 200, 0) : url.start()]
        if _SEND_NEAR.search(before):
            found.append(CallOrder("http_post", {"url": address, "text": "{{secret}} {{system prompt}}"}))
        if _FETCH_NEAR.search(before) or _FETCH_BEHIND.match(text[url.end() :]):
            found.append(CallOrder("http_get", {"url": address}))
    return list({f"{order.name} {json.dumps(order.arguments, sort_keys=True)}": order for order in found}.values())


def sayings_in(text: str) -> list[str]:
    """What the text wants said: quoted words behind a verb, pictures and links that it shows."""
    return [*_SAID.findall(text), *_IMAGE.findall(text)]


def wants_secrets(text: str) -> bool:
    """Whether the text asks to tell what was said in confidence."""
    return bool(_REVEAL.search(text))


def _objects(text: str) -> Iterator[tuple[int, Any]]:
    """Where each outermost JSON object begins, and its value; Python's spelling is taken as well."""
    at = 0
    while (begin := text.find("{", at)) >= 0:
        at = begin + 1
        end = _end_of(text, begin)
        if end is None:
            continue
        value = _parsed(text[begin:end])
        if isinstance(value, dict):
            yield begin, value
            at = end


def _end_of(text: str, begin: int) -> int | None:
    depth, quote, escaped = 0, "", False
    for place in range(begin, min(len(text), begin + 20_000)):
        character = text[place]
        if quote:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == quote:
                quote = ""
        elif character in "\"'" and (character == '"' or not text[place - 1].isalnum()):
            quote = character
        elif character in "{[":
            depth += 1
        elif character in "}]":
            depth -= 1
            if depth == 0:
                return place + 1
    return None


def _parsed(text: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return None


def _named(value: Any) -> Iterator[CallOrder]:
    """Calls in a value that names them itself, as models' protocols do."""
    if isinstance(value, list):
        for item in value:
            yield from _named(item)
    if not isinstance(value, dict):
        return
    name = next((value[key] for key in _NAMES if isinstance(value.get(key), str)), None)
    arguments = next((value[key] for key in _ARGUMENTS if key in value), None)
    if isinstance(arguments, str):
        arguments = _parsed(arguments) or {"input": arguments}
    if name is not None and isinstance(arguments, dict) and not _is_schema(arguments):
        yield CallOrder(name, arguments)
        return
    for inner in value.values():
        yield from _named(inner)


def _is_schema(value: dict[str, Any]) -> bool:
    return "properties" in value and "type" in value


def _name_before(text: str, offered: Collection[str]) -> str:
    names = [name for name in _NAME.findall(text) if "_" in name or name in offered]
    return names[-1] if names else ""


def _python_calls(text: str, offered: Collection[str]) -> Iterator[CallOrder]:
    for found in _CALLED.finditer(text):
        name = found[1]
        end = _end_of(text.replace("(", "{").replace(")", "}"), found.end() - 1)
        if end is None or not ("_" in name or name in offered):
            continue
        try:
            tree = ast.parse(f"f{text[found.end() - 1 : end]}", mode="eval").body
            assert isinstance(tree, ast.Call)
            arguments = {word.arg: ast.literal_eval(word.value) for word in tree.keywords if word.arg}
            given = [ast.literal_eval(each) for each in tree.args]
        except (SyntaxError, ValueError, AssertionError, MemoryError, RecursionError):
            continue
        if len(given) == 1 and isinstance(given[0], dict):
            yield CallOrder(name, given[0])
        elif arguments or (given and isinstance(given[0], str)):
            yield CallOrder(name, arguments or {"url" if "http" in name else "query": given[0]})
