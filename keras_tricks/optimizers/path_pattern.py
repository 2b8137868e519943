"""Patterns that name variables by their path.

A path is what `keras.Variable.path` says, such as `"stage1/unit1/conv1/kernel"`. A pattern matches
whole components at the end of a path: `"kernel"` and `"conv1/kernel"` match the path above,
`"ernel"` and `"unit1/conv1"` do not. A pattern that starts with `/` must match the whole path.

A wildcard pattern matches whole components anywhere in a path, and `*` any characters of one of them:
`"stage*"`, `"unit1/conv*"` and `"*"` match the path above, `"unit"` does not.
"""

from fnmatch import fnmatchcase


def variable_path(variable):
    """Return the path of a Keras variable, or the name of a backend's own variable."""
    path = getattr(variable, "path", None)
    return path if path is not None else variable.name.partition(":")[0]


def matches(path, pattern):
    """Say whether a pattern names this path.

    Args:
        path: string, the path of a variable.
        pattern: string, see the module's docstring.

    Returns:
        bool.
    """
    if pattern.startswith("/"):
        return f"/{path}" == pattern
    return f"/{path}".endswith(f"/{pattern}")


def matches_anywhere(path, pattern):
    """Say whether a wildcard pattern names this path.

    Args:
        path: string, the path of a variable.
        pattern: string, see the module's docstring.

    Returns:
        bool.
    """
    components, wanted = path.split("/"), pattern.split("/")
    return any(
        all(map(fnmatchcase, components[start : start + len(wanted)], wanted))
        for start in range(len(components) - len(wanted) + 1)
    )


def checked_patterns(patterns, argument):
    """Return patterns as a tuple, or raise if one of them can match nothing.

    Args:
        patterns: list or tuple of strings.
        argument: string, the argument's name for the error message.

    Returns:
        Tuple of strings.

    Raises:
        ValueError: if `patterns` is not a list or tuple of paths without empty components.
    """
    if not isinstance(patterns, list | tuple) or not all(
        isinstance(pattern, str) and all(pattern.removeprefix("/").split("/")) for pattern in patterns
    ):
        raise ValueError(
            f"Expected `{argument}` to be a tuple of path endings such as ('bias', 'fc/kernel'). "
            f"Received: {argument}={patterns!r}"
        )
    return tuple(patterns)


def shortest_pattern(path, other_paths):
    """Return the shortest pattern that names `path` and none of the other paths.

    It has a layer and a variable where the path has both. A short ending outlives a change of the
    leading components, as when a `Sequential` model is saved and loaded and its own name leaves
    the paths.

    Args:
        path: string, the path to name.
        other_paths: collection of strings, the paths that must not match.

    Returns:
        String.

    Raises:
        ValueError: if one of `other_paths` equals `path`.
    """
    components = path.split("/")
    lengths = range(min(2, len(components)), len(components) + 1)
    endings = ["/".join(components[-length:]) for length in lengths]
    for pattern in (*endings, f"/{path}"):
        if not any(matches(other, pattern) for other in other_paths):
            return pattern
    raise ValueError(f"Expected variables with distinct paths, to tell them apart. Received: path={path!r} twice")
