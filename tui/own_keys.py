"""What is wrong with the keys that the user set: unknown ids, keys that no keyboard has, keys with two meanings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from textual.app import App
from textual.binding import Binding
from textual.keys import KEY_NAME_REPLACEMENTS, Keys, key_to_character

_MODIFIERS = frozenset({"alt", "ctrl", "hyper", "meta", "shift", "super"})
_NAMED_KEYS = frozenset({*(key.value for key in Keys), *KEY_NAME_REPLACEMENTS.values()})


def named_bindings(owner: type) -> dict[str, Binding]:
    """Return the bindings of a widget, screen or app, with those that it inherits from ours, by their id."""
    classes = reversed(owner.__mro__)
    listed = [binding for base in classes for binding in base.__dict__.get("BINDINGS", ())]
    return {binding.id: binding for binding in listed if isinstance(binding, Binding) and binding.id}


def key_problems(own_keys: Mapping[str, str], owners: Iterable[type]) -> dict[str, str]:
    """Return what is wrong with the user's keys, by the id that they are set for.

    Args:
        own_keys: The user's keys by the id of the binding.
        owners: The classes that have bindings. The keys of the app hold in all of them.
    """
    groups = [named_bindings(owner) for owner in owners]
    problems = {name: "no such id" for name in own_keys if not any(name in group for group in groups)}
    for name, text in own_keys.items():
        unknown = [key for key in _keys(text) if not _is_key(key)]
        if unknown and name not in problems:
            problems[name] = f"there is no key {', '.join(map(repr, unknown))}"
    everywhere = {name: binding for group in groups for name, binding in group.items() if name.startswith("app.")}
    for group in groups:
        together = {**everywhere, **group}
        keys = {name: set(_keys(own_keys.get(name, binding.key))) for name, binding in together.items()}
        for name in own_keys.keys() & together.keys():
            for other in together:
                if other != name and keys[name] & keys[other]:
                    shared = ", ".join(sorted(keys[name] & keys[other]))
                    problems[name] = f"{shared} is the key of {other} too"
    return problems


def _keys(text: str) -> list[str]:
    return App._normalize_keymap({"": text})[""].split(",")


def _is_key(name: str) -> bool:
    *modifiers, key = name.split("+")
    return _MODIFIERS.issuperset(modifiers) and (key in _NAMED_KEYS or key_to_character(key) is not None)
