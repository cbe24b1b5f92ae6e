"""Signs that look like those of the language and are others: of Chinese input, of word processors, of web pages."""

from __future__ import annotations

import re

_MEANT = dict(zip("：，（）＝＞＜“”„‘’\u00a0\u3000", ':,()=><"""\'\' '.ljust(14), strict=True))
_NAMES = {" ": "a space", ",": "a comma"}
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'|#.*")


def lookalike(text: str, signs: str = "".join(_MEANT)) -> tuple[int, str] | None:
    """Where the first of these signs outside quotes stands (from 0), and what it is not; None where there is none."""
    found = re.search(f"[{signs}]", _QUOTED.sub(lambda match: "_" * len(match[0]), text))
    if found is None:
        return None
    sign, meant = found[0], _MEANT[found[0]]
    shown = {"\u00a0": "a no-break space", "\u3000": "a wide space"}.get(sign, sign)
    return found.start(), f"{shown} (U+{ord(sign):04X}) is not {_NAMES.get(meant, meant)}"
