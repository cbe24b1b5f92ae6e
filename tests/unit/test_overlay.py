from __future__ import annotations

from typing import TYPE_CHECKING, Any

from csflow.flow.overlay import merge, merge_flows, resolve_variants, settle, without_nulls
from csflow.flow.reading import Item, plain, read_text

if TYPE_CHECKING:
    from csflow.errors import Problem


def item(text: str, file: str = "over.yaml") -> Item:
    root, problems, _ = read_text(text, file)
    assert root is not None
    assert not problems
    return root


def merged(under: str, over: str) -> Any:
    return plain(without_nulls(merge(item(under, "under.yaml"), item(over)), [].append))


def flows(*texts: str) -> dict[str, Item]:
    read = [item(text) for text in texts]
    return {root.value["flow"].value: root for root in read}


def settled(text: str) -> tuple[Any, list[Problem]]:
    root, problems = item(text), []
    settle(root, problems.append)
    return plain(root), problems


def test_mappings_merge_by_key_all_the_way_down() -> None:
    assert merged("a: {x: 1, w: {p: 1, q: 2}}", "a: {w: {q: 3}}") == {"a": {"x": 1, "w": {"p": 1, "q": 3}}}


def test_new_keys_come_after_the_old_ones() -> None:
    assert list(merged("{b: 1, a: 2}", "{c: 3, b: 4}")) == ["b", "a", "c"]


def test_a_list_is_replaced_whole() -> None:
    assert merged("a: [1, 2, 3]", "a: [4]") == {"a": [4]}


def test_a_mapping_replaces_a_list_and_a_list_a_mapping() -> None:
    assert merged("{a: [1], b: {x: 1}}", "{a: {x: 1}, b: [1]}") == {"a": {"x": 1}, "b": [1]}


def test_null_removes() -> None:
    assert merged("a: {x: 1, w: 2}", "a: {x: null}") == {"a": {"w": 2}}


def test_what_was_removed_can_be_written_anew_by_a_later_layer() -> None:
    two = merge(item("a: {x: {p: 1}}"), item("a: {x: null}"))
    assert plain(without_nulls(merge(two, item("a: {x: {q: 2}}")), [].append)) == {"a": {"x": {"q": 2}}}


def test_merging_changes_neither_layer() -> None:
    under, over = item("a: {x: 1}"), item("a: {w: 2}")
    merge(under, over)
    assert (plain(under), plain(over)) == ({"a": {"x": 1}}, {"a": {"w": 2}})


def test_every_value_keeps_the_place_it_was_written_at() -> None:
    whole = merge(item("a:\n  x: 1\n", "under.yaml"), item("a:\n  w: 2\n"))
    assert whole.value["a"].value["x"].place() == ("under.yaml", 2, 6)
    assert whole.value["a"].value["w"].place() == ("over.yaml", 2, 6)


def test_a_flow_that_extends_its_own_name_changes_the_one_below() -> None:
    problems: list[Problem] = []
    whole = merge_flows(
        flows("{flow: f, stages: {a: {}}}"), flows("{flow: f, extends: f, stages: {b: {}}}"), problems.append
    )
    assert plain(whole["f"]) == {"flow": "f", "stages": {"a": {}, "b": {}}}
    assert not problems


def test_a_flow_of_a_name_below_must_say_extends() -> None:
    problems: list[Problem] = []
    merge_flows(flows("flow: f"), flows("flow: f"), problems.append)
    expected = "over.yaml:1:7: flow 'f' exists in what this project extends: write 'extends: f' to change it"
    assert [str(problem) for problem in problems] == [expected]


def test_a_flow_can_only_extend_what_is_there() -> None:
    problems: list[Problem] = []
    merge_flows(flows("flow: lifecycle"), flows("{flow: lifecycel, extends: lifecycel}"), problems.append)
    expected = "flow 'lifecycel' is not in what this project extends: did you mean 'lifecycle'?"
    assert [problem.message for problem in problems] == [expected]


def test_a_variant_is_laid_over_the_flow_it_extends() -> None:
    problems: list[Problem] = []
    whole = resolve_variants(
        flows("{flow: b, extends: a, stages: {x: null, w: {end: bad}}}", "{flow: a, stages: {x: {}, w: {end: good}}}"),
        problems.append,
    )
    assert plain(without_nulls(whole["b"], [].append)) == {"flow": "b", "stages": {"w": {"end": "bad"}}, "extends": "a"}
    assert plain(whole["a"]) == {"flow": "a", "stages": {"x": {}, "w": {"end": "good"}}}
    assert not problems


def test_a_variant_of_a_variant_takes_from_both() -> None:
    whole = resolve_variants(
        flows("{flow: c, extends: b, again: z}", "{flow: b, extends: a, label: w}", "{flow: a, label: x, subject: s}"),
        lambda _problem: None,
    )
    assert plain(whole["c"]) == {"flow": "c", "label": "w", "subject": "s", "extends": "b", "again": "z"}


def test_flows_that_extend_each_other_in_a_circle_are_told_once() -> None:
    problems: list[Problem] = []
    resolve_variants(flows("{flow: a, extends: b}", "{flow: b, extends: a}"), problems.append)
    assert [p.message for p in problems] == ["flows extend each other in a circle: a → b → a"]


def test_a_variant_of_nothing_is_told_with_the_nearest_name() -> None:
    problems: list[Problem] = []
    resolve_variants(flows("{flow: a, extends: lifecycel}", "flow: lifecycle"), problems.append)
    assert [p.message for p in problems] == ["no flow 'lifecycel' to extend: did you mean 'lifecycle'?"]


def test_otherwise_stays_last_when_choose_grows() -> None:
    root = Item({"metrics": item("m.a: {choose: {A: x, C: otherwise}}")}, "f", 1, 1)
    grown = merge(root, Item({"metrics": item("m.a: {choose: {B: w}}")}, "f", 1, 1))
    settle(grown, lambda _problem: None)
    assert list(plain(grown)["metrics"]["m.a"]["choose"]) == ["A", "B", "C"]


def test_merged_bands_are_put_in_rising_order() -> None:
    root = Item({"metrics": item("m.a: {of: x, bands: {low: 0%, high: 60%}}")}, "f", 1, 1)
    grown = merge(root, Item({"metrics": item("m.a: {bands: {middle: 30%, top: above 60%}}")}, "f", 1, 1))
    settle(grown, lambda _problem: None)
    assert list(plain(grown)["metrics"]["m.a"]["bands"]) == ["low", "middle", "high", "top"]


def test_bands_that_were_written_in_one_place_keep_their_order() -> None:
    tree, _ = settled("metrics: {m.a: {of: x, bands: {high: 60%, low: 0%}}}")
    assert list(tree["metrics"]["m.a"]["bands"]) == ["high", "low"]


def test_a_stage_stands_after_the_one_it_follows() -> None:
    tree, problems = settled("flows: {f: {stages: {a: {}, b: {}, x: {follows: a}, w: {follows: x}, z: {follows: a}}}}")
    assert list(tree["flows"]["f"]["stages"]) == ["a", "x", "w", "z", "b"]
    assert not problems


def test_a_stage_that_follows_nothing_is_told() -> None:
    _, problems = settled("flows: {f: {stages: {grow: {}, x: {follows: grwo}}}}")
    assert [p.message for p in problems] == ["no stage 'grwo': did you mean 'grow'?"]


def test_stages_that_follow_each_other_are_told_and_not_lost() -> None:
    tree, problems = settled("flows: {f: {stages: {a: {}, x: {follows: w}, w: {follows: x}}}}")
    assert set(tree["flows"]["f"]["stages"]) == {"a", "x", "w"}
    assert [p.message for p in problems] == [
        "stage 'x' follows itself in a circle",
        "stage 'w' follows itself in a circle",
    ]


def removals(*layers: str) -> list[str]:
    """Where nulls stand that had nothing to remove, of layers laid over each other."""
    merged, found = item(layers[0], "0.yaml"), []
    for number, layer in enumerate(layers[1:], 1):
        merged = merge(merged, item(layer, f"{number}.yaml"))
    without_nulls(merged, found.append)
    assert all(problem.warning for problem in found)
    return [f"{problem.file}:{problem.line}:{problem.column}: {problem.message}" for problem in found]


def test_a_null_that_removes_is_silent() -> None:
    assert removals("a: {x: 1, w: {z: 2}}", "a: {x: null, w: null}") == []
    assert removals("a: {x: 1}", "a: {x: null}", "a: {x: null}") == []
    assert removals("a: {x: 1}", "a: {x: null}", "a: {x: 3}") == []


def test_a_null_with_nothing_to_remove_is_told_at_its_key() -> None:
    why = "null removes what is extended, and there is nothing to remove"
    assert removals("a:\n  x:\n  w: 1") == [f"0.yaml:2:3: nothing stands behind 'x': {why}"]
    assert removals("a: {x: 1}", "a: {z: null, q: {r: }}") == [
        f"1.yaml:1:5: nothing stands behind 'z': {why}",
        f"1.yaml:1:18: nothing stands behind 'r': {why}",
    ]
    assert removals("a: [1, ~]") == [f"0.yaml:1:8: nothing stands in this entry of a list: {why}"]
