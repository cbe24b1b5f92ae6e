"""The page as one HTML file: no script, no font, nothing that is fetched from anywhere. Every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from csflow.errors import StoreError, UsageError
from csflow.hookspecs import Section
from csflow.services.messages import in_language
from csflow.services.page import UNKNOWN, Bands, Count, FlowPart, Page, Person, Rate, Sections, StageLine, page_of
from csflow.services.page_words import LANGUAGES, words
from csflow.values import figure_text

if TYPE_CHECKING:
    from pathlib import Path

    from csflow.flow.definition import Definition, Label
    from csflow.store.opening import Store
    from csflow.values import Instant

STYLE = """
:root{color-scheme:light dark;--ink:#1b2430;--soft:#54606e;--line:#d5dbe2;--back:#fff;--card:#f4f6f9;--mark:#1f5fbf;
--late:#a81e1e;--good:#1c7040}
@media (prefers-color-scheme:dark){:root{--ink:#e8ecf1;--soft:#aab4c0;--line:#39434f;--back:#14191f;--card:#1d242c;
--mark:#86b4ff;--late:#ff9a92;--good:#84d6a4}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:1rem/1.5 system-ui,"Noto Sans","Noto Sans CJK SC",
"PingFang SC","Microsoft YaHei",sans-serif;overflow-wrap:anywhere}
main,header,nav,footer{max-width:62rem;margin:0 auto;padding:0 1rem}
header{padding-top:1.25rem}h1{font-size:1.6rem;line-height:1.2;margin:0}h2{font-size:1.25rem;margin:2rem 0 .5rem}
h3{font-size:1.05rem;margin:1.25rem 0 .25rem}p{margin:.35rem 0}.soft{color:var(--soft)}
.note{border:1px solid var(--line);border-left:.3rem solid var(--mark);padding:.4rem .7rem;margin:.75rem 0}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.75rem;margin:1rem 0;padding:0}
.cards div{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem}
.cards dt{color:var(--soft);font-size:.9rem}.cards dd{margin:0;font-size:1.5rem;font-weight:600}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1rem;padding:0;margin:.5rem 0}
a{color:var(--mark)}.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.25rem 0}
th,td{text-align:left;vertical-align:top;padding:.3rem .5rem;border-bottom:1px solid var(--line)}
thead th{color:var(--soft);font-weight:600;font-size:.9rem}tbody th{font-weight:400}
th,td{overflow-wrap:break-word}tbody th{min-width:6.5rem}
.n{text-align:right;white-space:nowrap}thead .n{white-space:normal}
.late{color:var(--late);font-weight:600}.good{color:var(--good)}
details>summary{cursor:pointer;min-height:1.5rem}details[open]>p{max-width:34rem;margin-left:auto;text-align:left}
td.n details[open]{white-space:normal}.of{font-size:.85rem;color:var(--soft)}
.bar{display:block;height:.4rem;background:var(--mark);border-radius:.2rem;margin-top:.25rem;min-width:1px}
@media (max-width:30rem){th,td{padding:.3rem .25rem;font-size:.9rem}thead th{font-size:.8rem}tbody th{min-width:6rem}}
@media print{:root{--ink:#000;--soft:#333;--line:#999;--back:#fff;--card:#fff;--mark:#124;--late:#700;--good:#040}
body{font-size:9.5pt}nav{display:none}h2,h3,caption{break-after:avoid}tr,.cards div{break-inside:avoid}
a{color:inherit;text-decoration:none}summary{list-style:none}summary::-webkit-details-marker{display:none}
.bar{print-color-adjust:exact;-webkit-print-color-adjust:exact}@page{margin:14mm}}
"""
DOCTYPE = b"<!doctype html>"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def html_of(page: Page, language: str) -> str:
    """The page in a language: its own words in English or Chinese (else English), labels as the project has them."""
    return _Writer(page, language).html()


def write_page(
    file: Path,
    store: Store,
    definition: Definition,
    now: Instant,
    *,
    language: str | None = None,
    sections: Sections | None = None,
    note: str | None = None,
) -> list[str]:
    """Write the page; returns a line for each section that could not be made.

    UsageError where the file's folder is not there or the file is something else than a page, StoreError where the
    file cannot be written.
    Without ``language`` the project's first one that the page's own words are there in, else its first.
    """
    if not file.parent.is_dir():
        raise UsageError(f"{file}: there is no folder {file.parent}: make it first, or name another file")
    if not _may_be_replaced(file):
        raise UsageError(f"{file} is there, and is no page: name another file")
    both = (one for one in definition.languages if one in LANGUAGES)
    spoken = language or next(both, next(iter(definition.languages), LANGUAGES[0]))
    page = page_of(store, definition, now, language=spoken, sections=sections, note=note)
    try:
        file.write_text(html_of(page, spoken), "utf-8")
    except OSError as error:
        raise StoreError(f"{file}: {error.strerror or error}") from None
    return [f"section {name}: {why}" for name, why in page.sections if isinstance(why, str)]


def _may_be_replaced(file: Path) -> bool:
    """Whether nothing is lost: no file is there, or an empty one, or a page; a pipe or terminal takes anything."""
    try:
        if not file.is_file():
            return True
        with file.open("rb") as there:
            begin = there.read(len(DOCTYPE))
    except OSError:  # told when it is written
        return True
    return not begin or begin.lower() == DOCTYPE


def _figure(value: Any) -> str:
    return "?" if value is None else figure_text(value)


class _Writer:
    def __init__(self, page: Page, language: str) -> None:
        self.page, self.language, self.words = page, language, words(language)

    def html(self) -> str:
        """The whole file."""
        page, say = self.page, self.words
        title = f"{say['title']} – {page.project}"
        spoken = self.language if self.language in LANGUAGES else LANGUAGES[0]
        parts = [(name, part) for name, part in self._parts() if part]
        links = "".join(f'<li><a href="#{name}">{escape(self._heading(name))}</a></li>' for name, _ in parts)
        body = "".join(f'<section id="{name}">{part}</section>' for name, part in parts)
        passed = f"{escape(say['passed'])} {escape(page.last_pass)}" if page.last_pass else escape(say["never"])
        note = f'<p class="note">{escape(page.note)}</p>' if page.note else ""
        return (
            f'{DOCTYPE.decode()}\n<html lang="{spoken}"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
            f"<header><h1>{escape(title)}</h1>"
            f'<p class="soft">{escape(say["as_of"])} {escape(page.as_of)} · {passed}</p>'
            f"{note}{self._cards()}</header>"
            f'<nav aria-label="{escape(say["contents"])}"><ul>{links}</ul></nav><main>'
            f'<p class="soft">{escape(say["behind"])}</p>{body}</main><footer><p class="soft">csflow</p></footer>'
            "</body></html>\n"
        )

    def _parts(self) -> Iterable[tuple[str, str]]:
        page = self.page
        yield "rates", self._rates()
        yield "bands", self._head("bands") + "".join(map(self._bands, page.bands)) if page.bands else ""
        yield "late", self._head("late") + self._late()
        yield "flows", self._head("flows") + "".join(map(self._flow, page.flows))
        yield "moved", self._head("moved") + self._moved()
        yield "messages", self._head("messages") + self._messages() if page.messages else ""
        for place, (name, section) in enumerate(page.sections):
            yield f"section-{place}", self._section(name, section)

    def _heading(self, name: str) -> str:
        """What a part is headed with: csflow's own words, or what the plugin calls its section."""
        if name in self.words:
            return self.words[name]
        called, section = self.page.sections[int(name.removeprefix("section-"))]
        return called if isinstance(section, str) else section.title

    def _head(self, name: str) -> str:
        return f"<h2>{escape(self.words[name])}</h2>"

    def _cards(self) -> str:
        page = self.page
        moves = sum(line.moved.number for flow in page.flows for line in flow.stages)
        late = sum(line.overdue.number for flow in page.flows for line in flow.stages)
        figures = [
            ("customers", f"{page.customers:,}"), ("open", f"{sum(flow.open for flow in page.flows):,}"),
            ("overdue", f"{late:,}"), ("moves", f"{moves:,}"),
        ]  # fmt: skip
        cards = [(self.words[name], value) for name, value in figures]
        cards += [(self._rate_name(rate), self._rate_value(rate)) for rate in self._all_rates()[:1]]
        told = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in cards)
        return f'<dl class="cards">{told}</dl>'

    def _name(self, label: Label, name: str) -> str:
        return in_language(label, self.language) or name

    def _count(self, count: Count, *, late: bool = False) -> str:
        """A number that opens to the customers behind it."""
        if not count.number:
            return '<span class="soft">0</span>'
        shown = f'<span class="late">{count.number:,}</span>' if late else f"{count.number:,}"
        of = [self._customer(key, f"×{many}" if many > 1 else "") for key, many in count.of]
        if count.more:
            of.append(f"… +{count.more:,} {escape(self.words['more'])}")
        return f'<details><summary>{shown}</summary><p class="of">{", ".join(of)}</p></details>'

    def _customer(self, key: str, more: str) -> str:
        name = self.page.names.get(key)
        told = f'<span title="{escape(name)}">{escape(key)}</span>' if name else escape(key)
        return f"{told} {escape(more)}".rstrip()

    def _table(self, caption: str, heads: Iterable[tuple[str, bool]], rows: Iterable[Iterable[str]]) -> str:
        """A table: heads with whether they are of numbers, cells as HTML; the first cell names its row."""
        columns = list(heads)
        top = "".join(f'<th scope="col"{" class=n" * number}>{escape(text)}</th>' for text, number in columns)
        lines = []
        for row in rows:
            first, *cells = row
            rest = "".join(
                f"<td{' class=n' * number}>{cell}</td>" for cell, (_, number) in zip(cells, columns[1:], strict=True)
            )
            lines.append(f'<tr><th scope="row">{first}</th>{rest}</tr>')
        told = f"<caption>{caption}</caption>" if caption else ""
        return (
            f'<div class="wide"><table>{told}<thead><tr>{top}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
        )

    # rates

    def _all_rates(self) -> list[Rate]:
        return self.page.rates or ([self.page.renewals] if self.page.renewals else [])

    def _rate_name(self, rate: Rate) -> str:
        return self._name(rate.label, rate.name) or self.words["renewed"]

    def _rate_value(self, rate: Rate) -> str:
        if rate.value is None:
            return self.words["unknown"]
        if rate.share and isinstance(rate.value, int | float):
            return f"{rate.value:.1%}"
        return _figure(rate.value)

    def _rates(self) -> str:
        say, rates = self.words, self._all_rates()
        if not rates:
            return ""
        heads = [(say["metric"], False), (say["value"], True), (say["made_of"], False)]
        rows = [[escape(self._rate_name(one)), escape(self._rate_value(one)), self._made_of(one)] for one in rates]
        first, last = self.page.period
        return self._head("rates") + f'<p class="soft">{first} – {last}</p>' + self._table("", heads, rows)

    def _made_of(self, rate: Rate) -> str:
        say = self.words
        made = (
            f"{_figure(rate.numerator)} {say['of']} {_figure(rate.denominator)}" if rate.denominator is not None else ""
        )
        doubt = f"{rate.unknown:,} {say['not_judged']}" if rate.unknown else ""
        told = " · ".join(one for one in (made, doubt) if one) or "–"
        if not rate.of:
            return escape(told)
        shown = [self._customer(one["customer"], self._share_of(one)) for one in rate.of[:400]]
        if len(rate.of) > len(shown):
            shown.append(f"… +{len(rate.of) - len(shown):,} {escape(say['more'])}")
        return f'<details><summary>{escape(told)}</summary><p class="of">{", ".join(shown)}</p></details>'

    def _share_of(self, one: dict[str, Any]) -> str:
        if one.get("denominator") is None:
            return _figure(one.get("value"))
        return f"{_figure(one.get('numerator'))}/{_figure(one['denominator'])}" + ("?" if one.get("unknown") else "")

    # bands, people, flows

    def _bands(self, bands: Bands) -> str:
        say = self.words
        most = max((count.number for _, count in bands.bands), default=0)
        rows = []
        for word, count in bands.bands:
            name = say["unknown"] if word == UNKNOWN else word
            width = round(100 * count.number / most) if most else 0
            rows.append([f'{escape(name)}<span class="bar" style="width:{width}%"></span>', self._count(count)])
        heads = [(self._name(bands.label, bands.name), False), (say["customers"], True)]
        table = self._table(escape(self._name(bands.label, bands.name)), heads, rows)
        if bands.score:
            return table
        return f"<details><summary>{escape(self._name(bands.label, bands.name))}</summary>{table}</details>"

    def _late(self) -> str:
        people = self.page.people
        if not people:
            return f"<p>{escape(self.words['none'])}</p>"
        say = self.words
        heads = [(say["person"], False), (say["overdue"], True), (say["things"], True)]
        rows = [
            [escape(self._who(one)), f'<span class="late">{one.cases:,}</span>', f"{one.number:,}"] for one in people
        ]
        told = f'<p class="soft">{escape(say["counted"])}</p>'
        return told + self._table("", heads, rows) + "".join(map(self._lines, people))

    def _who(self, person: Person) -> str:
        return self._name(person.label, person.name) or self.words["nobody"]

    def _lines(self, person: Person) -> str:
        say = self.words
        heads = [
            (say["customer"], False),
            (say["case"], False),
            (say["what"], False),
            (say["due"], False),
            (say["days"], True),
        ]
        rows = [
            [
                self._customer(one.customer, ""), escape(one.case).replace("/", "/<wbr>"),
                escape(self._name(one.label, one.what)), escape(one.due), f"{one.days:,}",
            ]
            for one in person.lines
        ]  # fmt: skip
        rest = person.number - len(person.lines)
        more = f"<p>… +{rest:,} {escape(say['more_lines'])}</p>" if rest else ""
        told = f"{escape(self._who(person))} · {escape(say['things'])}: {person.number:,}"
        return f"<details><summary>{told}</summary>{self._table('', heads, rows)}{more}</details>"

    def _flow(self, flow: FlowPart) -> str:
        say = self.words
        heads = [(say["stage"], False), (say["cases"], True), (say["overdue"], True), (say["into"], True)]
        most = max((line.cases.number for line in flow.stages), default=0)
        rows = [self._stage_row(line, most) for line in flow.stages]
        return self._table(f"{escape(self._name(flow.label, flow.name))}", heads, rows)

    def _stage_row(self, line: StageLine, most: int) -> list[str]:
        end = f' <span class="soft">({escape(self.words[line.end])})</span>' if line.end else ""
        width = round(100 * line.cases.number / most) if most else 0
        bar = f'<span class="bar" style="width:{width}%"></span>'
        name = f"{escape(self._name(line.label, line.name))}{end}{bar}"
        return [name, self._count(line.cases), self._count(line.overdue, late=True), self._count(line.moved)]

    def _moved(self) -> str:
        say = self.words
        moved = [(flow, line) for flow in self.page.flows for line in flow.stages if line.moved.number]
        if not moved:
            return f"<p>{escape(say['none'])}</p>"
        moved.sort(key=lambda pair: -pair[1].moved.number)
        heads = [(say["stage"], False), (say["flow"], False), (say["number"], True)]
        rows = [
            [
                escape(self._name(line.label, line.name)),
                escape(self._name(flow.label, flow.name)),
                self._count(line.moved),
            ]
            for flow, line in moved
        ]
        return self._table(f"{escape(say['as_of'])} {escape(self.page.as_of[:10])}", heads, rows)

    def _messages(self) -> str:
        heads = [(self.words["status"], False), (self.words["number"], True)]
        rows = [[escape(self.words.get(s, s)), f"{many:,}"] for s, many in sorted(self.page.messages.items())]
        return self._table("", heads, rows)

    def _section(self, name: str, section: Section | str) -> str:
        if isinstance(section, str):
            return f"<h2>{escape(name)}</h2><p>{escape(name)} {escape(self.words['failed'])}: {escape(section)}</p>"
        heads = [(str(column), False) for column in section.columns]
        unknown = self.words["unknown"]
        rows = [[escape(unknown if cell is None else str(cell)) for cell in row] for row in section.rows]
        note = f'<p class="soft">{escape(section.note)}</p>' if section.note else ""
        table = self._table("", heads, rows) if heads else ""
        return f"<h2>{escape(section.title)}</h2>{table}{note}"
