"""How status, explanations and history look to people; rich is imported with this module, by those commands only."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rich import markup
from rich.console import Console
from rich.table import Table

from csflow.cli.called import as_called
from csflow.cli.hand import is_share
from csflow.cli.options import for_people
from csflow.values import counted, share_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from csflow.flow.definition import Definition, Effect, Flow, Label

WIDE = 160  # columns where there is no terminal to fit into
FATES = {"no": "refused", "not_applicable": "not applicable"}  # how a task fared, where its word is not enough
COLOURS = {"true": "green", "false": "red", "unknown": "yellow"}


class Words:
    """The labels of a project in one language; an id where there is none."""

    def __init__(self, definition: Definition, language: str | None) -> None:
        self.definition, self.language = definition, language

    def _of(self, label: Label, name: str) -> str:
        return label.get(self.language or "") or label.get("") or next(iter(label.values()), None) or name

    def flow(self, name: str) -> str:
        """A flow's label."""
        known = self.definition.flows.get(name)
        return self._of(known.label, name) if known is not None else name

    def stage(self, flow: str, name: str | None) -> str:
        """A stage's label."""
        known = self.definition.flows.get(flow)
        stage = known.stages.get(name or "") if known is not None else None
        return self._of(stage.label, stage.name) if stage is not None else name or "–"

    def milestone(self, flow: str, stage: str, name: str) -> str:
        """A milestone's label, of the stage or of the flow."""
        known = self.definition.flows.get(flow)
        if known is None:
            return name
        own = known.stages[stage].milestones if stage in known.stages else {}
        found = own.get(name) or known.milestones.get(name)
        return self._of(found.label, name) if found is not None else name

    def task(self, flow: str, name: str) -> str:
        """A task's label: that of the effect which opens it."""
        known = self.definition.flows.get(flow)
        effects = _effects(known) if known is not None else ()
        found = next((one for one in effects if (one.verb, one.target) == ("task", name)), None)
        return self._of(found.label, name) if found is not None else name

    def metric(self, name: str) -> str:
        """A metric's label."""
        known = self.definition.metrics.get(name)
        return self._of(known.label, name) if known is not None else name

    def role(self, name: str | None) -> str:
        """A role's label."""
        known = self.definition.roles.get(name or "")
        return self._of(known.label, known.name) if known is not None else name or "–"

    def share(self, fact: str, flow: str) -> bool:
        """Whether a fact that a rule of the flow read is a share."""
        return is_share(self.definition, fact, flow)

    def named(self, label: str, name: str) -> str:
        """A label with its id behind it, once where they are the same."""
        return label if label == name else f"{label} [{name}]"


def _effects(flow: Flow) -> Iterator[Effect]:
    milestones = [*flow.milestones.values(), *(m for stage in flow.stages.values() for m in stage.milestones.values())]
    yield from (*flow.do, *flow.overdue)
    for stage in flow.stages.values():
        yield from stage.do
        for way in stage.transitions:
            yield from way.do
    for milestone in milestones:
        yield from milestone.do
    for deadline in (*(stage.deadline for stage in flow.stages.values()), *(m.deadline for m in milestones)):
        yield from deadline.overdue if deadline is not None else ()


def escape(text: str) -> str:
    """Text that comes from data or YAML, as it may stand among rich's marks and in a terminal."""
    return markup.escape(for_people(text))


def _console() -> Console:
    width = None if sys.stdout.isatty() else WIDE
    return Console(file=sys.stdout, width=width, highlight=False, emoji=False)


def _table(*columns: str, numbers: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return table


# status --------------------------------------------------------------------------------------------------------------


def print_status(found: dict[str, Any], words: Words) -> None:
    """The whole project on a page."""
    console = _console()
    last = {verb: (found[f"last_{verb}"] or {}).get("as_of", "never") for verb in ("measure", "pass")}
    console.print(f"[bold]As of {found['as_of']}[/]  {counted(found['customers'], 'customer')}", soft_wrap=True)
    console.print(f"last measure {last['measure']}, last pass {last['pass']}", soft_wrap=True, style="dim")
    if not any(flow["cases"] for flow in found["flows"]):
        console.print(f"\nNo cases yet. Next:  {_next_step(found)}", soft_wrap=True, markup=False)
        return
    for flow in found["flows"]:
        if flow["cases"]:
            _print_flow(console, flow, words)
    _print_lists(console, found, words)


def _next_step(found: dict[str, Any]) -> str:
    if not found["customers"]:
        return f"{as_called('csflow import DIR')}   (or: {as_called('csflow customer add ID')})"
    if found["last_pass"] is None:
        return as_called("csflow run")
    return f"{as_called('csflow validate')} – no opening rule has found a customer yet"


def _print_flow(console: Console, flow: dict[str, Any], words: Words) -> None:
    title = words.named(words.flow(flow["name"]), flow["name"])
    console.print()
    console.print(f"[bold]{escape(title)}[/]  {flow['open']} open, {flow['overdue']} overdue", soft_wrap=True)
    table = _table("stage", "cases", "overdue", "median days", numbers=("cases", "overdue", "median days"))
    for stage in flow["stages"]:
        end = f" ({stage['end']} end)" if stage["end"] else ""
        days = "" if stage["median_days"] is None else f"{stage['median_days']:.1f}"
        late = f"[red]{stage['overdue']}[/]" if stage["overdue"] else ""
        table.add_row(
            escape(words.named(words.stage(flow["name"], stage["name"]), stage["name"])) + end,
            str(stage["cases"]), late, days,
        )  # fmt: skip
    console.print(table)


def _print_lists(console: Console, found: dict[str, Any], words: Words) -> None:
    if found["moved"]:
        table = _table("moved in the last pass", "from", "to", "cases", "such as", numbers=("cases",))
        for way in found["moved"]:
            ends = [escape(words.stage(way["flow"], way[side])) for side in ("from", "to")]
            some = escape(", ".join(way["examples"]))
            table.add_row(escape(words.flow(way["flow"])), *ends, str(way["cases"]), some)
        _print_table(console, table)
    if found["tasks"]:
        table = _table("open tasks of", "open", "overdue", numbers=("open", "overdue"))
        for line in found["tasks"]:
            table.add_row(escape(words.role(line["role"])), str(line["open"]), str(line["overdue"] or ""))
        _print_table(console, table)
    if found["stuck"]:
        table = _table("stuck", "name", "stage", "days", "overdue", numbers=("days",))
        for one in found["stuck"]:
            stage = escape(words.stage(one["flow"], one["stage"]))
            late = "[red]overdue[/]" if one["overdue"] else ""
            table.add_row(escape(one["case"]), escape(one["name"] or ""), stage, f"{one['days']:.1f}", late)
        _print_table(console, table)
        console.print(f"\nWhy:  {as_called('csflow explain CASE')}", style="dim")
    if found["outbox"]:
        sums = ", ".join(f"{many} {name}" for name, many in found["outbox"].items())
        console.print(f"\nmessages: {sums}", soft_wrap=True)


def _print_table(console: Console, table: Table) -> None:
    console.print()
    console.print(table)


# explain -------------------------------------------------------------------------------------------------------------


def print_explained(found: dict[str, Any], words: Words) -> None:
    """Each case with what holds it and what would move it."""
    console = _console()
    console.print(f"[bold]{escape(found['target'])}[/] as of {found['as_of']}", soft_wrap=True)
    if not found["cases"]:
        next_ = as_called("csflow run")
        console.print(f"No case yet: no opening rule has been true for it at a pass. Next:  {next_}", soft_wrap=True)
    for case in found["cases"]:
        console.print()
        for line in _case(case, words):
            console.print(line, soft_wrap=True)


def _case(case: dict[str, Any], words: Words) -> Iterator[str]:
    stage = words.named(words.stage(case["flow"], case["stage"]), case["stage"])
    extra = f", ended {case['ended']}" if case["ended"] else ""
    extra += f", clock from {case['clock']}" if case["clock"] else ""
    extra += ", waiting for the customer" if case["waiting"] else ""
    yield f"[bold]{escape(case['case'])}[/]  in [bold]{escape(stage)}[/] since {case['since']}{extra}"
    yield from _milestones(case, words)
    for line in case["deadlines"]:
        when = f"due {line['due']}" if line["due"] else "without a date"
        told = "".join(f", {word} {line[word]}" for word in ("missed", "met", "stopped") if line[word])
        colour = "red" if line["status"] in ("missed", "past due") else "dim"
        yield f"  deadline {escape(line['name'])}: [{colour}]{line['status']}[/] ({when}{told})"
    for task in case["tasks"]:
        due = f", due {task['due']}" if task["due"] else ""
        late = " [red]overdue[/]" if task["overdue"] else ""
        label, role = words.task(case["flow"], task["name"]), words.role(task["role"])
        yield f"  task {escape(label)} for {escape(role)}{due}{late}"
    for way in case["transitions"]:
        yield from _way(case, way, words)
    yield from _next(case, words)


def _milestones(case: dict[str, Any], words: Words) -> Iterator[str]:
    for milestone in case["milestones"]:
        name = words.named(words.milestone(case["flow"], case["stage"], milestone["name"]), milestone["name"])
        optional = " (optional)" if milestone["optional"] else ""
        if milestone["reached"]:
            yield f"  milestone {escape(name)}{optional}: [green]reached[/] {milestone['reached']}"
        elif milestone["guard"] is None:
            yield f"  milestone {escape(name)}{optional}: waits for '{escape(milestone['trigger'] or '')}'"
        else:
            holds = _truth(milestone["holds"])
            yield f"  milestone {escape(name)}{optional}: {holds}{_from(milestone)}"
            yield from _guard(milestone, words, case["flow"])


def _way(case: dict[str, Any], way: dict[str, Any], words: Words) -> Iterator[str]:
    target = words.stage(case["flow"], way["to"]) if way["to"] != "back" else f"back ({case['came_from'] or 'nowhere'})"
    verdict = way["verdict"]
    shown = f"[{COLOURS[verdict]}]{verdict}[/]" if verdict in COLOURS else f"[cyan]{verdict}[/]"
    if way["trigger"]:
        shown += f" '{escape(way['trigger'])}'"
        shown += f" by {escape(' or '.join(words.role(role) for role in way['only']))}" if way["only"] else ""
    if way["approve"]:
        shown += f", to be approved by {escape(words.role(way['approve']))}"
    yield f"  to [bold]{escape(target)}[/]: {shown}{_from(way)}"
    yield from _guard(way, words, case["flow"])


def _from(judged: dict[str, Any]) -> str:
    return f" – true on {judged['true_on']} if nothing else changes" if judged.get("true_on") else ""


def _guard(judged: dict[str, Any], words: Words, flow: str) -> Iterator[str]:
    if judged["guard"] is None:
        return
    values: dict[str, list[str]] = {}
    for value in judged["values"]:
        values.setdefault(value["fact"], []).append(_value(value, words.share(value["fact"], flow)))
    yield from _tree(judged["guard"], values, "      ")


def _tree(part: dict[str, Any], values: dict[str, list[str]], indent: str) -> Iterator[str]:
    if part["is"] != "part":
        yield f"{indent}{_truth(part['holds'])} {part['is']}"
        for inner in part["parts"]:
            yield from _tree(inner, values, f"{indent}  ")
        return
    change = f" (changes on {part['changes_on']})" if part["changes_on"] else ""
    yield f"{indent}{_truth(part['holds'])} {escape(part['text'])}{change}"
    for name in part["reads"]:
        mine = values[name]  # two counts of one thing have one name: each stands where it is written
        yield f"{indent}    [dim]{escape(mine.pop(0) if len(mine) > 1 else mine[0])}[/]"


def _value(value: dict[str, Any], share: bool) -> str:
    if value["value"] is None:
        return f"{value['fact']} is unknown: {value['unknown']}"
    return f"{value['fact']} = {_shown(value['value'], share)}{_at(value)}"


def _at(value: dict[str, Any]) -> str:
    return f"  ({value['measured']})" if value["measured"] else ""


def _shown(value: object, share: bool) -> str:
    if share and isinstance(value, int | float):
        return share_text(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value).lower() if isinstance(value, bool) else "unknown" if value is None else str(value)


def _truth(holds: bool | None) -> str:
    word = {True: "true", False: "false", None: "unknown"}[holds]
    return f"[{COLOURS[word]}]{word}[/]"


def _next(case: dict[str, Any], words: Words) -> Iterator[str]:
    for word in case["words"]:
        came = f"refused: {word['refused']}" if word["refused"] else "it is heard first, then the rules are asked"
        yield f"  word '{escape(word['word'])}' waits since {word['at']}: {escape(came)}"
    first = case["next"]
    if first is None:
        yield "  [bold]A pass now[/] moves nothing here first."
        return
    to = escape(words.stage(case["flow"], first["to"])) if first.get("to") else ""
    yield (
        "  [bold]A pass now[/] "
        + {
            "guard": f"moves it to [bold]{to}[/].",
            "word": f"lets it hear '{escape(first.get('word', ''))}'"
            + (f" and moves it to [bold]{to}[/]." if to else "."),
            "approval": f"asks {escape(words.role(first.get('role')))} to approve the move to {to}.",
            "stop": f"stops it: {escape(first.get('error', ''))}.",
        }[first["by"]]
    )


# history -------------------------------------------------------------------------------------------------------------


def print_history(found: dict[str, Any], words: Words) -> None:
    """One line an entry, with its reasons below."""
    console = _console()
    if found["left_out"]:
        console.print(
            f"({counted(found['left_out'], 'earlier entry is', 'earlier entries are')} left out)", style="dim"
        )
    if not found["entries"]:
        console.print("Nothing has happened yet.")
    several = len({entry["case"] for entry in found["entries"]}) > 1
    for entry in found["entries"]:
        who = f"{escape(entry['case'])}  " if several else ""
        console.print(
            f"{entry['at']}  {who}{_happened(entry, words)}  [dim]{escape(entry['actor'])}[/]", soft_wrap=True
        )
        for reason in entry["because"]:
            share = words.share(reason["fact"], entry["case"].partition("/")[0])
            text = f"{reason['fact']} = {_shown(reason['value'], share)}{_at(reason)}"
            console.print(f"                    [dim]{escape(text)}[/]", soft_wrap=True)
        if "recorded" in entry:
            written = f"written {entry['recorded']} under {entry['definition'][:12]}"
            console.print(f"                    [dim]{escape(written)}[/]", soft_wrap=True)


def _happened(entry: dict[str, Any], words: Words) -> str:
    flow, kind = entry["case"].partition("/")[0], entry["kind"]
    if kind in ("moved", "migrated"):
        ends = " → ".join(escape(words.stage(flow, entry[side])) for side in ("from", "to"))
        return f"{kind} [bold]{ends}[/]"
    if kind == "opened":
        return f"opened in [bold]{escape(words.stage(flow, entry['to']))}[/]"
    if kind == "task":
        fate = str(entry["place"] or "")
        return f"task [bold]{escape(str(entry['to']))}[/] {FATES.get(fate, fate)}".rstrip()
    return f"{kind} [bold]{escape(str(entry['to'] or entry['place'] or ''))}[/]"
