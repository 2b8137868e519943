import pytest

from keras_tricks.optimizers.path_pattern import checked_patterns, matches, matches_anywhere, shortest_pattern


@pytest.mark.parametrize("pattern", ["kernel", "fc/kernel", "head/fc/kernel", "/head/fc/kernel"])
def test_pattern_matches_whole_trailing_components(pattern):
    assert matches("head/fc/kernel", pattern)


@pytest.mark.parametrize("pattern", ["ernel", "c/kernel", "fc", "head/fc", "/fc/kernel", "/kernel"])
def test_pattern_matches_no_part_of_a_component_and_no_other_place(pattern):
    assert not matches("head/fc/kernel", pattern)


@pytest.mark.parametrize("pattern", ["*", "head", "fc*", "head/f*", "*/kernel", "h*d/*/kernel"])
def test_wildcard_pattern_matches_whole_components_anywhere(pattern):
    assert matches_anywhere("head/fc/kernel", pattern)


@pytest.mark.parametrize("pattern", ["hea", "ead*", "head/kernel", "*/*/*/*", "/head", "fc*kernel"])
def test_wildcard_pattern_matches_no_part_of_a_component(pattern):
    assert not matches_anywhere("head/fc/kernel", pattern)


@pytest.mark.parametrize("patterns", ["bias", [""], ["/"], ["fc//kernel"], ["bias/"], ["//bias"], [3], None, {"bias"}])
def test_patterns_that_match_nothing_are_refused(patterns):
    with pytest.raises(ValueError, match=r"Received: no_decay="):
        checked_patterns(patterns, "no_decay")


def test_patterns_become_a_tuple():
    assert checked_patterns(["bias", "fc/kernel", "/fc/kernel"], "no_decay") == (
        "bias",
        "fc/kernel",
        "/fc/kernel",
    )


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], "fc/kernel"),
        (["head/conv/kernel"], "fc/kernel"),
        (["body/fc/kernel"], "head/fc/kernel"),
        (["student/head/fc/kernel"], "/head/fc/kernel"),
    ],
)
def test_shortest_pattern_names_only_its_path(others, expected):
    assert shortest_pattern("head/fc/kernel", others) == expected
    assert not any(matches(other, expected) for other in others)


def test_shortest_pattern_of_a_single_component():
    assert shortest_pattern("scale", ["fc/kernel"]) == "scale"


def test_equal_paths_cannot_be_told_apart():
    with pytest.raises(ValueError, match="distinct paths"):
        shortest_pattern("fc/kernel", ["fc/kernel"])
