"""The README says what the code does."""

import re

from keras_tricks.presets import change, find_recipe
from tests.readme import README, with_tables


def test_generated_tables_are_up_to_date():
    text = README.read_text(encoding="utf-8")
    assert with_tables(text) == text, "Run: python -m tests.readme"


def test_train_commands_in_the_readme_are_valid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^keras-tricks train (\S+)([^#\n]*)", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert commands
    for name, rest in commands:
        options = {"--set": [], "--trick": [], "--no-trick": []}
        for option, value in re.findall(r"(--set|--trick|--no-trick) (\S+)", rest):
            options[option].append(value)
        fields = dict(re.findall(r"--(data|weights) (\S+)", rest))
        if "data" in fields:
            (tmp_path / fields["data"].partition(":")[2]).mkdir(exist_ok=True)
        if "weights" in fields:
            weights = tmp_path / fields["weights"]
            if weights.suffix:
                weights.touch()
            else:
                weights.mkdir(exist_ok=True)
                for file in ("recipe.json", "model.keras"):
                    (weights / file).touch()
        recipe = change(find_recipe(name), options["--set"], options["--trick"], options["--no-trick"])
        assert not [problem for problem in recipe.changed(**fields).problems() if problem.level == "error"]
