"""The stack config: the only reader of ``pulumi.Config``, from YAML to frozen models.

Everything is validated here, before the first resource is registered, and all errors are told at
once, each as ``path.of.the.key: what is wrong (got what)``. What needs a running hypervisor or an
edge to be known is deliberately not checked here.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin

import pulumi
import yaml
from pulumi.runtime import get_config
from pulumi.runtime.config import CONFIG, get_config_env
from pydantic import BaseModel, ValidationError

from components import checks, machine
from components.models.stack import Stack

SECRET_KEYS = frozenset({"password", "secret_env", "basic_auth"})
"""Keys whose values are never shown, not even in an error about them."""


class ConfigError(pulumi.RunError):
    """The config is wrong; ``problems`` holds one ``path: what (got what)`` each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"the stack config is wrong, nothing was changed:\n{lines}")


def load() -> tuple[Stack, machine.Facts]:
    """Read and validate the stack config of the running program.

    Returns:
        The config, and what this machine told of itself, which it fits.

    Raises:
        ConfigError: Something in it is wrong; every problem found is in the message.
    """
    prefix = f"{pulumi.get_project()}:"
    given = {**get_config_env(), **CONFIG.get()}  # the SDK's Config can only look up known keys
    keys = [key for key in given if key.startswith(prefix)]
    stack = parse({key.removeprefix(prefix): _value(get_config(key)) for key in keys})
    facts = machine.facts(stack)
    problems = (
        *checks.in_stack(stack, pulumi.get_stack()),
        *checks.on_this_machine(stack, facts),
    )
    if problems:
        raise ConfigError(problems)
    return stack, facts


def _value(text: str | None) -> object:
    """Turn a config value back into what the file has; structured ones arrive as JSON."""
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError):
        return text


def parse(raw: Mapping[str, Any]) -> Stack:
    """Turn the ``gatehouse:`` keys of a stack config into models.

    Raises:
        ConfigError: Something in it is wrong; every problem found is in the message.
    """
    try:
        stack = Stack.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_explain(item) for item in error.errors()) from None
    problems = tuple(checks.across(stack))
    if problems:
        raise ConfigError(problems)
    return stack


_YAML_TEXT = "tag:yaml.org,2002:str"
_MESSAGES: Mapping[str, str] = {
    "missing": "is required",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text; put it in quotes",
    "string_unicode": "must be text that can be written as UTF-8",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "invalid_key": "must have a key that is text; put it in quotes",
    "bool_type": "must be true or false",
    "dict_type": "must be a map of keys",
    "model_type": "must be a map of keys",
    "tuple_type": "must be a list",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} entry",
    "too_long": "must have at most {max_length} entry",
    "literal_error": "must be {expected}",
    "value_error": "{error}",
}


def _explain(item: Any) -> str:
    location = [str(part) for part in item["loc"]] or [str(item["input"])]
    unknown = item["type"] == "extra_forbidden"
    # pydantic's way to say so; an unknown key may be called that.
    about_key = not unknown and item["loc"][-2:] == (item["input"], "[key]")
    if about_key:
        del location[-1]
    if about_key or item["type"] == "invalid_key":  # pydantic has True as 1 there
        location[-1] = json.dumps(item["input"], default=str).strip('"')
    if unknown:
        message = _unknown_key(location)
    else:
        template = _MESSAGES.get(item["type"])
        message = template.format(**item.get("ctx", {})) if template else item["msg"]
    if item["type"] == "missing":
        got = "nothing"
    elif (_hidden(location, message) and not about_key) or _is_hash(item["input"]):
        got = "what is not shown, as it may be a secret"
    else:
        got = _shown(item["input"])
    return f"{'.'.join(map(_part, location))}: {message} (got {got})"


def _part(key: str) -> str:
    """Return a key as a part of a path, in quotes if it could not be told from what follows."""
    if _is_hash(key):
        return '"a hash"'
    return key if re.fullmatch(r"[A-Za-z0-9_./:@-]{1,100}", key) else _cut(json.dumps(key))


def _hidden(location: list[str], message: str) -> bool:
    """Whether a value is a secret, or may have been meant as one under a misspelt key."""
    if location[0] == "registries":  # a token may stand in place of the whole login
        return len(location) < 3 or location[-1] != "username"
    named = any(part in SECRET_KEYS for part in location)
    return named or any(f"did you mean {key}?" in message for key in SECRET_KEYS)


def _is_hash(value: object) -> bool:
    """Whether it looks like a hash of crypt(3), which is a secret wherever it was put."""
    return isinstance(value, str) and re.match(r"\$[0-9a-z]{1,4}\$", value) is not None


_GONE = {
    "edge.tls.acme.port": "is no key any more, as HAProxy itself answers challenges; leave it out",
}
"""Keys of versions before this one."""


def _unknown_key(location: list[str]) -> str:
    if ".".join(location) in _GONE:
        return _GONE[".".join(location)]
    known = _keys_at(location[:-1])
    near = difflib.get_close_matches(location[-1], known, n=1)
    if near:
        return f"unknown key; did you mean {near[0]}?"
    return f"unknown key; known here are {', '.join(known)}"


def _keys_at(location: list[str]) -> list[str]:
    model: type[BaseModel] = Stack
    parts = iter(location)
    for part in parts:
        annotation = model.model_fields[part].annotation
        model = _model_in(annotation) or model
        if get_origin(annotation) in (dict, tuple):
            next(parts, None)  # a name that the operator chose, or a number in a list
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in found if model is not None), None)


def _shown(value: object) -> str:
    """Return a value as the operator wrote it; maps and lists only by their kind."""
    if isinstance(value, Mapping):
        return "a map" if value else "an empty map"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if isinstance(value, str) and _reads_as_text(value):
        return _cut(value)
    try:
        return _cut(json.dumps(value, default=str))
    except ValueError:  # Python's limit
        return "a number of thousands of digits"


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def _reads_as_text(value: str) -> bool:
    """Whether YAML would take it as text without quotes, on one line."""
    if not value.isprintable() or value == "":
        return False
    if len(value) > 80:
        return True
    try:
        node = yaml.compose(f"- {value}", yaml.SafeLoader)
    except yaml.YAMLError:
        return True
    return isinstance(node, yaml.SequenceNode) and bool(node.value[0].tag == _YAML_TEXT)
