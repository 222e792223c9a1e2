"""The stack config: the only reader of ``pulumi.Config``, from YAML to frozen models.

Everything is validated here, before the first resource is registered, and all errors are reported
together, each as ``path.of.the.key: what is wrong; what to do (got value)``. The only question to
the hypervisor here is whether its libvirt answers. Other checks of the hypervisor and the edge run
later.
"""

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import pulumi
import yaml
from pulumi.runtime import get_config
from pulumi.runtime.config import CONFIG, get_config_env
from pydantic import BaseModel, ValidationError

from components import secure
from components.config import checks, forms, machine, spelling, vocabulary
from components.config.checks.text import cut, is_hash, part
from components.config.models.stack import Stack

SECRET_KEYS = frozenset({"password", "secret_env", "basic_auth"})
"""Keys whose values are never shown, not even in an error about them."""


_SECRETIVE = re.compile(
    r"pass(word|wd|phrase)?$|^pw$|secret|token|credential|private|(api|ssh)[_-]?key|hmac"
)
"""Words in unknown keys whose values may be secrets."""

_SECRETIVE_NAME = re.compile(_SECRETIVE.pattern + r"|(^|[_.-])(key|pwd|pin|salt|auth)$|pwd$")
"""Words in names of variables, labels and headers whose values may be secrets."""
_NAMED = ("env", "labels", "headers")

_GIVEN_AWAY = re.compile(
    r"PRIVATE KEY-----|://[^/\s@]*:[^/\s@]+@|(pass(word|wd|phrase)?|pwd|secret|token|key)\s*[=:]\s*\S",
    re.IGNORECASE,
)
"""Secrets in any value: a private key in PEM, a password in a URL or after `password=`."""


class ConfigError(pulumi.RunError):
    """The config is wrong; ``problems`` holds one ``path: what is wrong (got value)`` each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"the stack config is wrong, nothing was changed:\n{lines}")


def load() -> tuple[Stack, machine.MachineFacts]:
    """Read and validate the stack config of the running program.

    Returns:
        The config, and the facts about this machine, which it fits.

    Raises:
        ConfigError: Something in it is wrong; every problem found is in the message.
    """
    prefix = f"{pulumi.get_project()}:"
    given = {**get_config_env(), **CONFIG.get()}  # the SDK's Config can only look up known keys
    keys = [key for key in given if key.startswith(prefix)]
    lost = secure.lost_in_file(Path(f"Pulumi.{pulumi.get_stack()}.yaml"))
    if lost:
        raise ConfigError(lost)
    stack = parse({key.removeprefix(prefix): _value(get_config(key)) for key in keys})
    facts = machine.facts(stack)
    problems = (
        *checks.in_stack(stack, pulumi.get_stack()),
        *checks.on_this_machine(stack, facts),
    )
    uri = stack.farm.hypervisor.uri
    silent = machine.hypervisor_problem(uri)
    if silent is not None:
        way_out = ""
        if stack.farm.hypervisor.local:
            way_out = (
                "; install libvirt and start it (`systemctl enable --now libvirtd`), or give"
                " another hypervisor's URI"
            )
        problems = (*problems, f"farm.hypervisors.0.uri: {silent}{way_out} (got {uri})")
    if problems:
        raise ConfigError(problems)
    return stack, facts


def _value(text: str | None) -> object:
    """Turn a config value back into the file's value; structured ones arrive as JSON."""
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError):
        return text


def parse(raw: Mapping[str, Any]) -> Stack:
    """Turn the ``gatehouse:`` keys of a stack config into models.

    Raises:
        ConfigError: All wrong keys and values; if there are none, all contradictions between keys.
    """
    try:
        stack = Stack.model_validate(raw)
    except ValidationError as error:
        items = error.errors()
        raise ConfigError(_explain(raw, item) for item in items if not _follows(item)) from None
    problems = tuple(checks.across(stack))
    if problems:
        raise ConfigError(problems)
    return stack


def _follows(item: Any) -> bool:
    """Whether an error only follows from others: a list is too short without its wrong entries."""
    return bool(item["type"] == "too_short" and len(item["input"]) >= item["ctx"]["min_length"])


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
    "too_short": "must have at least {min_length} {entries}",
    "too_long": "must have at most {max_length} {entries}",
    "literal_error": "must be {expected}",
    "value_error": "{error}",
}


SHORT_FORMS: Mapping[str, str] = {
    "Volume": ", such as {name: data, path: /data}",
    "Tcp": ", such as {port: 5432}",
    "Health": ", such as {path: /health}",
    "Placement": ", such as {vms: [web-0]}",
    "Http": ", such as {max_body: 10MiB}",
    "RateLimit": ", such as {requests: 100, per: 10s}",
    "Network": ", such as {cidr: 10.90.0.0/24}",
    "Hypervisor": ", such as {uri: qemu:///system}",
    "Edge": ", such as {port: 80}",
    "Stats": ", such as {port: 8404}",
    "Tls": ", such as {folder: /etc/letsencrypt/live}",
    "Acme": ", such as {email: ops@example.org}",
    "CertificateFiles": (
        ", such as {fullchain: /etc/ssl/fullchain.pem, privkey: /etc/ssl/privkey.pem}"
    ),
}
"""The spelling that replaces another tool's short form, by the model."""


def short_form(model: type[BaseModel]) -> str:
    """Return an example of a model's keys: the listed one, or the first that a field has.

    It is empty for a model with required keys: errors about those say more.
    """
    listed = SHORT_FORMS.get(model.__name__)
    fields = model.model_fields
    if listed is not None or any(field.is_required() for field in fields.values()):
        return listed or ""
    examples = ((key, field.examples[0]) for key, field in fields.items() if field.examples)
    return next((f", such as {{{key}: {json.dumps(each)}}}" for key, each in examples), "")


def _explain(raw: Mapping[str, Any], item: Any) -> str:
    location = [str(part) for part in item["loc"]] or [str(item["input"])]
    unknown = item["type"] == "extra_forbidden"
    # pydantic's mark for a key; an unknown key may have the same name.
    about_key = not unknown and item["loc"][-1:] == ("[key]",) and _is_key(item)
    if about_key:
        del location[-1]
    if about_key or item["type"] == "invalid_key":  # pydantic has True as 1 there
        location[-1] = json.dumps(item["input"], default=str).strip('"')
    assigned = about_key and "secret_env" in location and "=" in location[-1]
    if assigned:
        location[-1] = location[-1].partition("=")[0]
    secret = (
        (_hidden(location, unknown=unknown) and not about_key)
        or assigned
        or is_hash(item["input"])
        or (isinstance(item["input"], str) and _GIVEN_AWAY.search(item["input"]) is not None)
    )
    message = _unknown_key(location, item["input"]) if unknown else _message(item)
    if not unknown and not about_key:
        message += _other_form(raw, item, secret=secret) or _example(item)
    if item["type"] == "missing":
        got = "got nothing"
    else:
        got = "value hidden: it may be secret" if secret else f"got {_shown(item['input'])}"
    return f"{'.'.join(map(part, location))}: {message} ({got})"


def _example(item: Any) -> str:
    """Return an example of a list, if the key takes one."""
    *parents, key = (str(part) for part in item["loc"] or ("",))
    field = _model_at(parents).model_fields.get(key) if item["type"] == "tuple_type" else None
    return f", such as {forms.written(field.examples[0])}" if field and field.examples else ""


def _other_form(raw: Mapping[str, Any], item: Any, *, secret: bool) -> str:
    if item["type"] in ("missing", "invalid_key") or not item["loc"]:
        return ""
    return forms.advice(raw, item["loc"], item["input"], secret=secret)


def _is_key(item: Any) -> bool:
    part = item["loc"][-2:-1]
    if part == (item["input"],):
        return True
    try:
        return bool(part == (repr(item["input"]),))
    except ValueError:  # Python refuses to write a number that is too long
        return False


def _message(item: Any) -> str:
    context = item.get("ctx", {})
    limit = context.get("max_length", context.get("min_length"))
    context = {**context, "entries": "entry" if limit == 1 else "entries"}
    template = _MESSAGES.get(item["type"])
    message = template.format(**context) if template else item["msg"]
    if item["type"] == "literal_error" and isinstance(item["input"], bool):
        return f"{message}; put it in quotes, or YAML takes it for true or false"
    if item["type"] == "string_type" and isinstance(item["input"], Mapping | list):
        return "must be text"
    if item["type"] == "string_type" and item["input"] is None:
        return 'must be text; write "" if it is empty'
    if item["type"] == "model_type":
        message += short_form(_model_at([str(part) for part in item["loc"]]))
    if item["type"] in ("model_type", "dict_type") and item["input"] is None:
        message += "; indent its keys below it"
    return message + _too_far_left(item)


def _too_far_left(item: Any) -> str:
    """Return the advice for a service's or login's key that stands one level too high."""
    where = item["loc"]
    if len(where) != 2 or where[0] not in Stack.model_fields:
        return ""
    model = model_in(Stack.model_fields[where[0]].annotation)
    by_name = get_origin(Stack.model_fields[where[0]].annotation) is dict
    if not by_name or model is None or where[1] not in model.model_fields:
        return ""
    return f"; if {where[1]} is a key of one of the {where[0]}, indent it below its name"


def _hidden(location: list[str], *, unknown: bool) -> bool:
    """Whether a value is a secret, or may be one under an unknown key."""
    if location[0] == "registries":  # a token may stand in place of the whole login
        return len(location) < 3 or location[-1] != "username"
    if any(part in SECRET_KEYS for part in location):
        return True
    if not unknown:
        return _named_as_a_secret(location)
    meant = _unknown_key(location).partition("known here are")[0]
    return _SECRETIVE.search(location[-1].lower()) is not None or any(
        re.search(rf"\b{key}\b", meant) for key in SECRET_KEYS
    )


def _named_as_a_secret(location: list[str]) -> bool:
    """Whether the name of a variable, label or header suggests that its value is secret."""
    start = next((index for index, part in enumerate(location) if part in _NAMED and index > 1), -1)
    names = location[start + 1 :] if start > 0 else ()
    return any(_SECRETIVE_NAME.search(name.lower()) for name in names)


def _unknown_key(location: list[str], value: object = None) -> str:
    """Return the key to write instead: by another tool's word, or by the nearest spelling."""
    model, key = _model_at(location[:-1]), location[-1]
    if model is Stack and re.match(rf"({'|'.join(Stack.model_fields)})[.\[].", key):
        secret = "--secret " if any(each in key for each in SECRET_KEYS) else ""
        path = shlex.quote(f"gatehouse:{cut(key)}")
        return (
            f"unknown key; set it with `pulumi config set {secret}--path {path}`, and remove this"
            " line"
        )
    known = list(model.model_fields)
    same = next((each for each in known if vocabulary.plain(each) == vocabulary.plain(key)), None)
    meant = f"did you mean {same}?" if same else vocabulary.hint(model.__name__, key)
    if meant is None:
        near = spelling.nearest(key, known) or _in_a_part(model, key)
        meant = f"did you mean {near}?" if near else f"known here are {', '.join(known)}"
    return f"unknown key; {meant}{_form_of(model, meant, value)}"


def _form_of(model: type[BaseModel], hint: str, value: object) -> str:
    """Return an example of the key that a hint names, if that holds keys and a scalar was given."""
    named = re.fullmatch(r"Gatehouse calls it ([a-z_.]+)(?: for .*)?", hint)
    if named is None or isinstance(value, Mapping | list):
        return ""
    *parents, key = named[1].split(".")
    for parent in parents:
        model = model_in(model.model_fields[parent].annotation) or model
    field = model.model_fields.get(key)
    if field is None or model_in(field.annotation) is None or not field.examples:
        return ""
    example = {key: field.examples[0]}
    for parent in reversed(parents):
        example = {parent: example}
    return f", such as {forms.written(example)}"


def _in_a_part(model: type[BaseModel], key: str) -> str | None:
    """Return the path of a key that was written one level too high."""
    parts = ((name, model_in(field.annotation)) for name, field in model.model_fields.items())
    return next(
        (f"{name}.{key}" for name, part in parts if part and key in part.model_fields), None
    )


def _model_at(location: list[str]) -> type[BaseModel]:
    model: type[BaseModel] = Stack
    keys = iter(location)
    for key in keys:
        annotation = model.model_fields[key].annotation
        model = model_in(annotation) or model
        if get_origin(annotation) in (dict, tuple):
            next(keys, None)  # a name that the operator chose, or a number in a list
    return model


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that a key holds, perhaps in a list or map; None if it holds none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (model_in(argument) for argument in get_args(annotation))
    return next((model for model in found if model is not None), None)


def _shown(value: object) -> str:
    """Return a value as the operator wrote it, or the word for a map or list."""
    if isinstance(value, Mapping):
        return "a map" if value else "an empty map"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if isinstance(value, str) and _reads_as_text(value):
        return cut(value)
    try:
        return cut(json.dumps(value, default=str))
    except ValueError:  # Python's limit
        return "a number of thousands of digits"


def _reads_as_text(value: str) -> bool:
    """Whether a text needs no quotes in YAML, on one line."""
    if not value.isprintable() or value == "":
        return False
    if len(value) > 80:
        return True
    try:
        node = yaml.compose(f"- {value}", yaml.SafeLoader)
    except yaml.YAMLError:
        return True
    return isinstance(node, yaml.SequenceNode) and bool(node.value[0].tag == _YAML_TEXT)
