"""Layers of one project laid over each other: mappings merge by key, a list is replaced whole, ``null`` removes.

Works on the tree of `reading`, so a problem in a pack is shown in the pack's file. A removed key stays in the tree as
null (so that a later layer, or a variant, removes it too) until `without_nulls`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from csflow.errors import Problem
from csflow.flow.names import nearest
from csflow.flow.reading import Item, problem_at

MAX_TRAIL = 30
Report = Callable[[Problem], None]


def merge(under: Item, over: Item) -> Item:
    """``over`` laid on ``under``; neither is changed. New keys come after the old ones."""
    if over.value is None and (under.value is not None or under.removes):
        return replace(over, removes=True)
    if not isinstance(under.value, dict) or not isinstance(over.value, dict):
        return over
    merged = dict(under.value)
    for key, child in over.value.items():
        merged[key] = merge(merged[key], child) if key in merged else child
    return replaced(over, merged)


def replaced(item: Item, value: dict[str, Item]) -> Item:
    """A mapping in the same place with other content that several layers wrote."""
    return Item(value, item.file, item.line, item.column, item.key_line, item.key_column, merged=True)


def without_nulls(item: Item, report: Report) -> Item:
    """The tree without the keys that ``null`` removed. A null that had nothing to remove is reported."""
    if not isinstance(item.value, (dict, list)):
        return item
    if isinstance(item.value, list):
        listed = [without_nulls(child, report) for child in item.value if _stands(child, None, report)]
        return Item(listed, item.file, item.line, item.column, item.key_line, item.key_column)
    kept = {key: without_nulls(child, report) for key, child in item.value.items() if _stands(child, key, report)}
    return Item(kept, item.file, item.line, item.column, item.key_line, item.key_column, merged=item.merged)


def removals(item: Item) -> dict[str, tuple[str, int, int]]:
    """The names that a ``null`` takes away, and where it stands: a stage's own removal before that of a way to it."""
    found: dict[str, tuple[str, int, int]] = {}
    waiting = [item]
    for here in waiting:  # which grows: what lies less deep comes first
        if isinstance(here.value, dict):
            for key, child in here.value.items():
                if child.value is None and child.removes:
                    found.setdefault(key, child.key_place())
            waiting.extend(here.value.values())
    return found


def _stands(item: Item, key: str | None, report: Report) -> bool:
    """Whether there is more than null; a forgotten value is no removal, and whoever forgot it should hear of it."""
    if item.value is None and not item.removes:
        what = "nothing stands in this entry of a list" if key is None else f"nothing stands behind '{key}'"
        message = f"{what}: null removes what is extended, and there is nothing to remove"
        report(Problem(*item.key_place(), message, warning=True))
    return item.value is not None


def merge_flows(
    under: dict[str, Item], over: dict[str, Item], report: Report, *, beside: Item | None = None
) -> dict[str, Item]:
    """The flows of a project over those of what it extends; only a flow that says ``extends`` changes one.

    ``beside``: the ``extends:`` of the project that extends both, where ``over`` is not the project's own.
    """
    merged = dict(under)
    for name, flow in over.items():
        extends = flow.value.get("extends")
        changes = extends is not None and extends.value == name
        if name in under and not changes:
            message = f"flow '{name}' exists in what this project extends: write 'extends: {name}' to change it"
            place = flow.value["flow"].place()
            if beside is not None:
                file, line, _ = under[name].value["flow"].place()
                message = f"both {file}:{line} and {place[0]}:{place[1]} have a flow '{name}': extend one of them only"
                place = beside.place()
            report(problem_at(place, message))
        elif name not in under and changes:
            message = f"flow '{name}' is not in what this project extends{nearest(name, under)}"
            report(problem_at(extends.place(), message))
            merged[name] = replaced(flow, {k: v for k, v in flow.value.items() if k != "extends"})
        elif changes:
            merged[name] = merge(under[name], replaced(flow, {k: v for k, v in flow.value.items() if k != "extends"}))
        else:
            merged[name] = flow
    return merged


def resolve_variants(flows: dict[str, Item], report: Report) -> dict[str, Item]:
    """Every flow whole: one that extends another name is laid over that. Circles and unknown names are reported."""
    done: dict[str, Item] = {}

    def resolve(name: str, trail: tuple[str, ...]) -> Item:
        flow = flows[name]
        extends = flow.value.get("extends")
        if name in done or extends is None or extends.value is None:
            return done.setdefault(name, flow)
        basis = str(extends.value)
        if len(trail) > MAX_TRAIL:
            report(problem_at(extends.place(), f"flows extend each other more than {MAX_TRAIL} deep"))
        elif basis in (*trail, name):
            report(
                problem_at(extends.place(), f"flows extend each other in a circle: {' → '.join((*trail, name, basis))}")
            )
        elif basis not in flows:
            report(problem_at(extends.place(), f"no flow '{basis}' to extend{nearest(basis, flows)}"))
        else:
            flow = merge(resolve(basis, (*trail, name)), flow)
        done[name] = flow
        return flow

    for name in flows:
        resolve(name, ())
    return done


def settle(tree: Item, report: Report) -> None:
    """Put things in their places: ``otherwise`` last, merged bands rising, stages where ``follows`` says."""
    metrics = tree.value.get("metrics")
    if metrics is not None and isinstance(metrics.value, dict):
        for metric in metrics.value.values():
            if isinstance(metric.value, dict):
                _settle_metric(metric.value)
    flows = tree.value.get("flows")
    for flow in flows.value.values() if flows is not None else ():
        stages = flow.value.get("stages") if isinstance(flow.value, dict) else None
        if stages is not None and isinstance(stages.value, dict):
            stages.value = _placed(stages.value, report)


def _settle_metric(metric: dict[str, Item]) -> None:
    choose, bands = metric.get("choose"), metric.get("bands")
    if choose is not None and choose.merged and isinstance(choose.value, dict):
        choose.value = dict(sorted(choose.value.items(), key=lambda pair: pair[1].value == "otherwise"))
    if bands is None or not isinstance(bands.value, dict):
        return
    rows = [bands, *bands.value.values()] if "by" in metric else [bands]
    for row in rows:
        if row.merged and isinstance(row.value, dict) and all(_begin(v) is not None for v in row.value.values()):
            row.value = dict(sorted(row.value.items(), key=lambda pair: _begin(pair[1]) or (0.0, False)))


def _begin(item: Item) -> tuple[float, bool] | None:
    """Where a band begins, and whether just above that; None when it is no number."""
    text = str(item.value).strip()
    above = text.startswith("above ")
    text = text.removeprefix("above ").strip()
    try:
        return (float(text.removesuffix("%")) / (100 if text.endswith("%") else 1), above)
    except ValueError:
        return None


def _placed(stages: dict[str, Item], report: Report) -> dict[str, Item]:
    followers: dict[str, list[str]] = {}
    rest: list[str] = []
    for name, stage in stages.items():
        follows = stage.value.pop("follows", None) if isinstance(stage.value, dict) else None
        if follows is not None and str(follows.value) not in stages:
            report(problem_at(follows.place(), f"no stage '{follows.value}'{nearest(str(follows.value), stages)}"))
            follows = None
        if follows is None:
            rest.append(name)
        else:
            followers.setdefault(str(follows.value), []).append(name)
    order: list[str] = []
    waiting = rest[::-1]
    while waiting:
        name = waiting.pop()
        order.append(name)
        waiting.extend(reversed(followers.get(name, [])))
    placed = set(order)
    for name, stage in stages.items():
        if name not in placed:
            report(problem_at(stage.key_place(), f"stage '{name}' follows itself in a circle"))
            order.append(name)
    return {name: stages[name] for name in order}
