"""A YAML text as nodes that know their line: plain mappings, lists and words, and nothing else of YAML.

Words are taken as they are written: ``1`` and ``yes`` are words here, and ``0012`` keeps its zeros. What YAML has beyond that (anchors,
tags, several documents) is refused, so that what a person reads is what is meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import yaml

# Far more than a mapping of ten tables takes.
MAX_CHARACTERS = 1_000_000
_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True)
class Word:
    """A scalar as it is written. ``is_null`` is the word null, ``is_empty`` that nothing stands there."""

    line: int
    character: int
    text: str
    is_null: bool = False
    is_empty: bool = False


@dataclass(frozen=True)
class Words:
    """A list."""

    line: int
    character: int
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Entries:
    """A mapping. Its keys are words, each once."""

    line: int
    character: int
    pairs: tuple[tuple[Word, Node], ...]


Node = Word | Words | Entries


@dataclass
class Document:
    """What was read, as far as it could be, and each fault as line, character and clause."""

    root: Node | None = None
    faults: list[tuple[int, int, str]] = field(default_factory=list)


def parse(text: str) -> Document:
    """Reads a YAML text."""
    import yaml

    document = Document()
    if len(text) > MAX_CHARACTERS:
        document.faults.append((1, 1, f"the file is longer than {MAX_CHARACTERS:,} characters"))
        return document
    try:
        document.faults += _beyond_plain(text)
        if not document.faults:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            document.root = None if node is None else _node(node, document)
    except yaml.YAMLError as error:
        document.faults.append(_unreadable(error))
    except RecursionError:
        document.faults.append((1, 1, "it is nested too deep"))
    return document


def _beyond_plain(text: str) -> Iterator[tuple[int, int, str]]:
    import yaml

    documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        place = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            yield *place, "anchors and aliases (& and *) are not known here; write it out, or put the word in quotes"
        elif getattr(event, "tag", None):
            yield *place, f"the tag {event.tag} is not known here; put the word in quotes"
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents == 2:
                yield *place, "a second document (---) begins here; one file is one document"


def _unreadable(error: yaml.YAMLError) -> tuple[int, int, str]:
    import yaml

    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        return (
            (mark.line + 1, mark.column + 1, f"not valid YAML: {what}") if mark else (1, 1, f"not valid YAML: {what}")
        )
    return 1, 1, "not valid YAML: it holds a character that may not stand in YAML"


def _node(node: yaml.Node, document: Document) -> Node:
    import yaml

    line, character = node.start_mark.line + 1, node.start_mark.column + 1
    if isinstance(node, yaml.ScalarNode):
        plain = node.style is None
        return Word(line, character, node.value, plain and node.tag == _NULL, plain and not node.value)
    if isinstance(node, yaml.SequenceNode):
        return Words(line, character, tuple(_node(item, document) for item in node.value))
    pairs: dict[str, tuple[Word, Node]] = {}
    for key_node, value_node in node.value:
        key, value = _node(key_node, document), _node(value_node, document)
        if not isinstance(key, Word):
            document.faults.append((key.line, key.character, "a key has to be a single word"))
        elif key.text in pairs:
            first = pairs[key.text][0].line
            document.faults.append((key.line, key.character, f"'{key.text}' is there twice, first in line {first}"))
        else:
            pairs[key.text] = key, value
    return Entries(line, character, tuple(pairs.values()))
