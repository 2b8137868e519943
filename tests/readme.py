"""Write the generated tables of the README: `python -m tests.readme`."""

import csv
import re
import subprocess
import sys
from pathlib import Path
from statistics import mean

from keras_tricks.cli.catalogue import allowed
from keras_tricks.model_facts import MODELS
from keras_tricks.presets import presets
from keras_tricks.tricks import TRICKS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"


def tables() -> dict[str, str]:
    """Return the generated parts by name."""
    return {"tricks": _tricks(), "models": _models(), "recipes": _recipes(), "commands": _commands()}


def with_tables(text: str) -> str:
    """Return the README's text with all generated parts brought up to date."""
    for name, table in tables().items():
        pattern = rf"(<!-- {name}: [^>]*-->\n).*?(<!-- /{name} -->)"
        text, count = re.subn(
            pattern, lambda match, table=table: f"{match[1]}\n{table}\n\n{match[2]}", text, flags=re.DOTALL
        )
        if count != 1:
            raise ValueError(f"Expected one part called {name} in the README. Received: {count}")
    return text


def _tricks() -> str:
    measured = _measured()
    headings = ("trick", "paper", "what it does", "[measured](benchmarks/results/cifar10.md), points", "parameters")
    rows = [f"| {' | '.join(headings)} |", "| --- " * len(headings) + "|"]
    for trick in TRICKS.values():
        parameters = "<br>".join(
            f"`{name}` {_plain(info.default)}" + (f" ({allowed(info)})" if allowed(info) else "")
            for name, info in trick.model_fields.items()
        )
        paper = trick.source.paper.partition(",")[0]
        rows.append(
            f"| `{trick.name}` | [{paper}, {trick.source.section}]({trick.source.url}) | {trick.summary()} "
            f"| {measured.get(trick.name, '')} | {parameters.replace('|', 'or')} |"
        )
    return "\n".join(rows)


def _measured() -> dict[str, str]:
    """What the CIFAR-10 runs say of each trick: points of accuracy, with the 95 % interval where there is one."""
    found = {}
    for row in _results("cifar10_stack.csv"):
        if row["trick"] and row["difference"]:
            words = f"{100 * float(row['difference']):+.1f}"
            if row["95 % low"]:
                words += f" ({100 * float(row['95 % low']):+.1f} to {100 * float(row['95 % high']):+.1f})"
            found[row["trick"]] = words
    accuracies: dict[str, list[float]] = {}
    runs = _results("cifar10_clipping.csv")
    largest = max(int(row["batch size"]) for row in runs)
    for row in runs:
        if int(row["batch size"]) == largest:
            accuracies.setdefault(row["clipping"], []).append(float(row["val_accuracy"] or 0))
    means = {ratio: mean(values) for ratio, values in accuracies.items()}
    gain = max(value for ratio, value in means.items() if ratio) - means[""]
    found["adaptive_gradient_clipping"] = f"{100 * gain:+.1f} at batch {largest}"
    return found


def _results(name: str) -> list[dict[str, str]]:
    with (RESULTS / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _models() -> str:
    rows = ["| model | builder | parameters | images |", "| --- | --- | --- | --- |"]
    for model in MODELS.values():
        counts: dict[int, list[str]] = {}
        for variant, count in model.parameters.items():
            counts.setdefault(count, []).append(variant)
        parameters = ", ".join(f"{count / 1e6:.3f} M ({', '.join(names)})" for count, names in counts.items())
        most = f"{model.min_image_size} to {model.max_image_size} px"
        images = most if model.max_image_size else f"from {model.min_image_size} px"
        rows.append(f"| `{model.name}` | `models.{model.builder}` | {parameters} | {images} |")
    return "\n".join(rows)


def _recipes() -> str:
    rows = ["| recipe | what it is for | published |", "| --- | --- | --- |"]
    for name, recipe in presets().items():
        rows.append(f"| [`{name}`](recipes/{name}.py) | {recipe.description} | {recipe.published} |")
    return "\n".join(rows)


def _commands() -> str:
    rows = ["| command | what it does |", "| --- | --- |"]
    for words in ([], ["runs"]):
        answer = subprocess.run(
            [sys.executable, "-m", "keras_tricks", *words, "--help"],
            capture_output=True,
            text=True,
            check=True,
            env={"COLUMNS": "200", "PATH": "/usr/bin:/bin", "NO_COLOR": "1"},
        )
        commands = answer.stdout.partition("Commands:\n")[2].partition("\n\n")[0]
        for line in commands.splitlines():
            name, text = line.split(maxsplit=1)
            if name != "runs":
                rows.append(f"| `{' '.join(['keras-tricks', *words, name])}` | {text} |")
    return "\n".join(rows)


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
