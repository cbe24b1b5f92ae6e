"""Declared fields: what people and imports fill in, with types, trees of choices and freshness."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from csflow.flow.definition import Field
from csflow.flow.names import LANGUAGE
from csflow.flow.sites import Path, Site, Tree, listed
from csflow.flow.types import Type

if TYPE_CHECKING:
    from collections.abc import Iterator


def build_fields(site: Site, path: Path, content: dict[str, Any] | None) -> Iterator[tuple[str, Field]]:
    """Name and Field of each declared field; a ``value:`` is compiled later, when all names are known."""
    for name, written in (content or {}).items():
        at = (*path, name)
        site.name(at, name, "field")
        if "." in name:
            site.wrong(at, f"a field's name has no dot: '{name}'", on_key=True)
        kind, labels = field_type(site, at, written)
        fresh = written.get("fresh") or {}
        yield name, Field(
            name, kind,
            label=site.labels((*at, "label"), written.get("label")),
            fresh=site.length((*at, "fresh", "unknown_after"), fresh.get("unknown_after")),
            warn=site.length((*at, "fresh", "warn_after"), fresh.get("warn_after")),
            choice_labels=labels,
        )  # fmt: skip


def field_type(site: Site, path: Path, written: Tree) -> tuple[Type, dict[str, dict[str, str]]]:
    """The type that ``type:`` and ``choices:`` declare, and the labels of its words."""
    choices = written.get("choices")
    if choices is None:
        return Type(str(written.get("type", "text"))), {}
    labels: dict[str, dict[str, str]] = {}
    branches: list[tuple[str, tuple[str, ...]]] = []
    leaves = _leaves(site, (*path, "choices"), choices, labels, branches)
    double = [word for word, times in Counter(leaves).items() if times > 1]
    if not leaves:
        site.wrong((*path, "choices"), "no word stands here, so nothing could be chosen: take choices: out, or fill it")
    if double:
        site.wrong((*path, "choices"), f"choice '{double[0]}' is there twice")
    return Type(str(written.get("type") or "choice"), tuple(dict.fromkeys(leaves)), tuple(branches)), labels


def _leaves(
    site: Site, path: Path, choices: Any, labels: dict[str, dict[str, str]], branches: list[tuple[str, tuple[str, ...]]]
) -> list[str]:
    if not isinstance(choices, dict):
        return [str(word) for word in choices]
    leaves: list[str] = []
    for word, below in choices.items():
        if isinstance(below, list) or (isinstance(below, dict) and below and not _is_label(site, below)):
            inner = _leaves(site, (*path, word), below, labels, branches)
            branches.append((word, tuple(inner)))
            leaves += inner
        else:
            leaves.append(word)
            if below:
                labels[word] = site.labels((*path, word), below)
    return leaves


def _is_label(site: Site, below: dict[str, Any]) -> bool:
    """Whether ``{en: …, zh: …}`` labels a choice (else it is a branch of the tree).

    What a project extends may have labels in more languages than its own ``languages:`` names.
    """
    spoken = listed(site.tree.get("spoken"))
    if not all(isinstance(text, str) and LANGUAGE.match(key) for key, text in below.items()):
        return False
    return any(key in spoken for key in below) if spoken else all(len(key) == 2 for key in below)
