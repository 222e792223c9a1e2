"""Readers of what is rendered, written from its readers' manuals and not from what writes it."""

import ast
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field

from components.edge.shapes import HOST

_SECTIONS = (
    *("global", "defaults", "frontend", "backend", "listen", "resolvers", "peers", "userlist"),
    *("cache", "mailers", "program", "ring", "http-errors", "log-forward", "fcgi-app"),
)

_ESCAPES = {each: each for each in " #\\\"'$"} | {"n": "\n", "r": "\r", "t": "\t"}


@dataclass
class Section:
    """A section of a haproxy.cfg: the words of its first line, and of each line in it."""

    heading: list[str]
    lines: list[list[str]] = field(default_factory=list)

    def called(self, keyword: str) -> list[list[str]]:
        """Return the lines that start with a keyword."""
        return [line for line in self.lines if line[0] == keyword]


def haproxy_sections(text: str) -> list[Section]:
    """Read a haproxy.cfg, where any word of ``_SECTIONS`` starts a section, indented or not."""
    sections: list[Section] = []
    for line in text.split("\n"):
        words = haproxy_words(line)
        if words and words[0] in _SECTIONS:
            sections.append(Section(words))
        elif words:
            sections[-1].lines.append(words)
    return sections


def haproxy_words(line: str) -> list[str]:
    """Split a line into words as chapter 2.2 of HAProxy's manual has it.

    Raises:
        ValueError: A quote is not closed, or there is a variable of the environment, or a
            character by its number, which Gatehouse never writes.
    """
    words: list[str] = []
    word: str | None = None
    quote = ""
    rest = iter(line)
    for character in rest:
        if character == "\\" and quote != "'":
            following = next(rest, "")
            # Only these are escapes; any other backslash stands for itself.
            if following == "x":
                raise ValueError(f"a character by its number in {line!r}")
            if (following == "$" and not quote) or following not in _ESCAPES:
                word = (word or "") + f"\\{following}"
            else:
                word = (word or "") + _ESCAPES[following]
        elif character == quote:
            quote = ""
        elif quote:
            if quote == '"' and character == "$":
                raise ValueError(f"a variable of the environment in {line!r}")
            word = (word or "") + character
        elif character in "\"'":
            quote, word = character, word or ""
        elif character == "#":
            break
        elif character in " \t\r\v\f":
            words += [word] if word is not None else []
            word = None
        else:
            word = (word or "") + character
    if quote:
        raise ValueError(f"an open quote in {line!r}")
    return words + ([word] if word is not None else [])


def haproxy_map(text: str) -> dict[str, str]:
    """Read a map file: a key and a value on each line, with blanks between them.

    Raises:
        AssertionError: A key is there twice, or a line is a comment or no pair.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        assert not line.startswith("#"), f"a comment, which HAProxy skips: {line!r}"
        key, value = line.split()
        assert key not in found, f"{key} is there twice"
        found[key] = value
    return found


def routed(routes: Mapping[str, str], host: str, path: str) -> str:
    """Return the backend that HAProxy takes by a map, as the frontend has it looked up."""
    if not re.search(HOST, host) or re.search("%(?![0-9A-Fa-f]{2})|%00", path):
        return "_refused"
    decoded = urllib.parse.unquote(path, encoding="latin-1")
    if re.search(r"(^|/)\.\.?(;[^/]*)?(/|$)", decoded):
        return "_refused"
    plain = re.sub("//+", "/", re.sub(";[^/]*", "", decoded))
    found, meant = (_looked_up(routes, host, each) for each in (path, plain))
    return found if meant in (found, "_nowhere") else "_refused"


def _looked_up(routes: Mapping[str, str], host: str, path: str) -> str:
    domain = host.partition(":")[0].lower().removesuffix(".")
    for name in (domain, re.sub(r"^[^.]+", "*", domain)):
        whole = f"{name}{path}/"
        if keys := [key for key in routes if whole.startswith(key)]:
            return routes[max(keys, key=len)]
    return "_nowhere"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule of a Traefik router."""

    text: str
    tree: ast.expr
    literals: tuple[str, ...]

    @property
    def matchers(self) -> list[tuple[str, str]]:
        """Each matcher with what it matches, in order."""
        calls = [node for node in ast.walk(self.tree) if isinstance(node, ast.Call)]
        return sorted(self._matcher(call) for call in calls)

    def matches(self, host: str, path: str) -> bool:
        """Whether a router with this rule takes a request."""
        return self._holds(self.tree, host, path)

    def _holds(self, node: ast.expr, host: str, path: str) -> bool:
        if isinstance(node, ast.BoolOp):
            parts = [self._holds(value, host, path) for value in node.values]
            return all(parts) if isinstance(node.op, ast.And) else any(parts)
        assert isinstance(node, ast.Call), f"{ast.dump(node)} in {self.text}"
        match self._matcher(node):
            case "Host", value:
                return host == value
            case "HostRegexp", value:
                return re.search(value, host) is not None
            case "Path", value:
                return path == value
            case "PathPrefix", value:
                return path.startswith(value)
            case "Header", _:
                return True
            case other:
                raise AssertionError(f"{other} in {self.text}")

    def _matcher(self, call: ast.Call) -> tuple[str, str]:
        assert isinstance(call.func, ast.Name)
        numbers = [each.value for each in call.args if isinstance(each, ast.Constant)]
        assert len(numbers) == len(call.args) == (2 if call.func.id == "Header" else 1), self.text
        return call.func.id, " ".join(self.literals[int(str(number))] for number in numbers)


def traefik_rule(text: str) -> Rule:
    """Read a rule: its grammar is Python's, with other operators and with text in backticks.

    Raises:
        AssertionError: There is anything in it that is not of a rule.
    """
    literals = tuple(re.findall("`([^`]*)`", text))
    numbers = iter(range(len(literals)))
    plain = re.sub("`[^`]*`", lambda _: str(next(numbers)), text)
    assert re.fullmatch(r"[A-Za-z0-9()&|, ]*", plain), f"{plain!r} is no rule"
    tree = ast.parse(plain.replace("&&", "and").replace("||", "or"), mode="eval").body
    return Rule(text=text, tree=tree, literals=literals)
