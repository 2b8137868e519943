"""Report: what the runs of an ablation, or any runs, say of the variants that they are of, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from keras_tricks.ablation.effects import WHOLE, Effect, Group, effects, effects_table, group_runs, seed_of
from keras_tricks.ablation.reported_runs import Documents
from keras_tricks.ablation.statistics import Spread, spread
from keras_tricks.hardware import hardware_words
from keras_tricks.runs import RunError
from keras_tricks.runs.columns import Value, no_such_column
from keras_tricks.runs.comparison import ComparedRun, Table, metrics_of
from keras_tricks.runs.schema import is_share

FAILED = frozenset({"failed", "lost", "broken"})


@dataclass(frozen=True)
class VariantRow:
    """A variant in a report.

    Args:
        effect: Its last values of the metric, and their paired difference.
        best: The best values of the metric over the epochs.
        seconds: The seconds of all epochs, validation included, start-up left out.
        images_per_second: The median over the epochs of a run.
        calibration_error: The expected calibration error of the trained models.
        failed: How many of its runs failed.
    """

    effect: Effect
    best: Spread | None
    seconds: Spread | None
    images_per_second: Spread | None
    calibration_error: Spread | None
    failed: int

    @property
    def name(self) -> str:
        """What sets the variant apart."""
        return self.effect.group.name


@dataclass(frozen=True)
class Report:
    """What runs say of their variants.

    Args:
        title: The name of the recipe and the design.
        metric: The metric of the effects; empty if no run has any.
        against: What each variant is compared with, in words.
        runs: The runs.
        rows: The variants, the first of which is compared with none.
        facts: What `recipe.json` and `result.json` say of machines and versions, each with what it says.
        ablation: The id of the ablation; None where the runs are not of one.
    """

    title: str
    metric: str
    against: str
    runs: tuple[ComparedRun, ...]
    rows: tuple[VariantRow, ...]
    facts: tuple[tuple[str, str], ...]
    ablation: str | None = None

    @property
    def effects(self) -> list[Effect]:
        """The effects of the variants."""
        return [row.effect for row in self.rows]

    @property
    def explanation(self) -> str:
        """How to read the numbers, in sentences; that there are none, where no run has finished with a value."""
        if not any(effect.values for effect in self.effects):
            return f"No run has finished with a value of {self.metric}: there is nothing to compare."
        words = (
            f"{self.metric} is that of the last epoch, mean ± standard deviation over the seeds; best is that of each "
            f"run's best epoch. Differences are to {self.against}, paired by seed, with 95 % intervals of Student's t, "
            "each for itself; * marks those that leave 0 out. Time is that of all epochs with their validation."
        )
        if any(row.calibration_error for row in self.rows):
            words += " Calibration error is how far confidence and accuracy lie apart at the end."
        return words

    @property
    def missing(self) -> list[str]:
        """The runs that do not count, with their state and what went wrong."""
        found = []
        for row in self.rows:
            for run in row.effect.group.unfinished:
                reason = f": {run.summary.error}" if run.summary.error else ""
                found.append(f"{row.name}, seed {seed_of(run)}: {run.summary.state}{reason} ({run.summary.id})")
        return found

    def numbers(self) -> Table:
        """A row of numbers for each variant, for programs."""
        table = effects_table(self.effects, self.metric)
        headings = (
            "best",
            "standard deviation of best",
            "seconds",
            "standard deviation of seconds",
            "images_per_second",
            "calibration_error",
            "standard deviation of calibration_error",
            "failed",
        )
        rows: list[tuple[Value, ...]] = []
        for row, values in zip(self.rows, table.rows, strict=True):
            best, seconds, rate, calibration = row.best, row.seconds, row.images_per_second, row.calibration_error
            more = (
                best.mean if best else None,
                best.deviation if best else None,
                seconds.mean if seconds else None,
                seconds.deviation if seconds else None,
                rate.mean if rate else None,
                calibration.mean if calibration else None,
                calibration.deviation if calibration else None,
                row.failed,
            )
            rows.append((*values[:-1], *more, values[-1]))
        return Table((*table.headings[:-1], *headings, table.headings[-1]), rows)

    def words(self) -> Table:
        """A row of words for each variant, for people; accuracies in percent."""
        unit = ", %" if is_share(self.metric) else ""
        difference = "to the step before" if self.against == "the step before" else f"to {self.rows[0].name}"
        headings = (
            "variant",
            "n",
            f"{self.metric}{unit}",
            f"difference {difference}",
            "95 % interval",
            f"best{unit}",
            "time",
            "images/s",
            "calibration error",
            "failed",
            "note",
        )
        return Table(headings, [self._words_of(row) for row in self.rows])

    def markdown(self) -> str:
        """The report as Markdown."""
        parts = [f"# {self.title}\n", f"{self.explanation}\n", self.words().markdown()]
        if self.missing:
            parts.append("Not counted:\n\n" + "".join(f"- {line}\n" for line in self.missing))
        parts.append("".join(f"- {name}: {value}\n" for name, value in self.facts))
        return "\n".join(parts)

    def _words_of(self, row: VariantRow) -> tuple[str, ...]:
        scale = 100.0 if is_share(self.metric) else 1.0
        effect, difference = row.effect, row.effect.difference
        interval = ""
        if difference is not None and difference.low is not None and difference.high is not None:
            pairs = "" if effect.values and effect.values.n == difference.n else f" (n={difference.n})"
            low, high = (signed(scale * end, scale) for end in (difference.low, difference.high))
            interval = f"{low} to {high}{' *' * difference.is_clear}{pairs}"
        return (
            row.name,
            str(effect.values.n if effect.values else 0),
            spread_words(effect.values, scale),
            signed(scale * difference.mean, scale) if difference else "",
            interval,
            spread_words(row.best, scale),
            _seconds_words(row.seconds),
            _rate_words(row.images_per_second),
            spread_words(row.calibration_error),
            str(row.failed) if row.failed else "",
            _short_note(effect),
        )


def make_report(
    runs: Sequence[ComparedRun], metric: str = "", documents: Mapping[str, Documents] | None = None
) -> Report:
    """Return what runs say of their variants.

    Runs of one ablation are compared as its design says: in a stack each step with the one before it, else each
    variant with the first. Other runs are compared with the oldest one's variant.

    Args:
        runs: The runs.
        metric: The metric. Defaults to the one that all runs keep the best value of, else the first one that any has.
        documents: What `read_documents` returned, which says of machines and of calibration. Defaults to none.

    Raises:
        RunError: No run has such a metric.
    """
    metrics = metrics_of(runs)
    if metric and metric not in metrics:
        raise RunError(no_such_column(metric, metrics))
    # Runs that failed early have nothing of validation, and may have more than those that count.
    whole = [run for run in runs if run.summary.state in WHOLE]
    metrics = metrics_of(whole)
    metric = metric or _watched(whole) or (metrics[0] if metrics else "val_accuracy")
    ablations = {
        (run.summary.facts.ablation or {}).get("id"): run.summary.facts.ablation
        for run in runs
        if run.summary.state != "broken"
    }
    ablation = next(iter(ablations.values())) if len(ablations) == 1 else None
    groups = group_runs(runs)
    stepwise = ablation is not None and ablation.get("design") == "stack"
    documents = documents or {}
    rows = [_row(effect, metric, documents) for effect in effects(groups, metric, stepwise=stepwise)]
    base = groups[0].name if groups else ""
    title = f"Report on {len(runs)} runs"
    if ablation is not None:
        first = groups[0].runs[0].summary
        name = first.name.partition(f"-{base.replace(' ', '-')}")[0]
        title = f"Ablation of {name}, {ablation.get('design')}"
    return Report(
        title=title,
        metric=metric,
        against="the step before" if stepwise else base,
        runs=tuple(runs),
        rows=tuple(rows),
        facts=_facts(runs, documents),
        ablation=None if ablation is None else str(ablation.get("id")),
    )


def spread_words(values: Spread | None, scale: float = 1.0) -> str:
    """Return mean and standard deviation as `91.23 ± 0.21`, with two decimals of percents."""
    if values is None:
        return ""
    digits = ".2f" if scale != 1.0 else ".4g"
    mean = f"{scale * values.mean:{digits}}"
    return mean if values.deviation is None else f"{mean} ± {scale * values.deviation:{'.2f' if scale != 1 else '.2g'}}"


def signed(value: float, scale: float = 1.0) -> str:
    """Return a difference with its sign, with two decimals of percents."""
    return f"{value:+.2f}" if scale != 1.0 else f"{value:+.3g}"


def _row(effect: Effect, metric: str, documents: Mapping[str, Documents]) -> VariantRow:
    counted = list(effect.group.counted(metric).values())
    bests = [best.value for run in counted if (best := run.best(metric)) is not None]
    seconds = [sum(values) for run in counted if (values := run.curves.get("epoch_seconds", ((), ()))[1])]
    rates = [median(values) for run in counted if (values := run.curves.get("images_per_second", ((), ()))[1])]
    results = [documents[run.summary.id][1] for run in counted if run.summary.id in documents]
    errors = [error for result in results if isinstance(error := result.get("calibration_error"), float)]
    return VariantRow(effect, _spread(bests), _spread(seconds), _spread(rates), _spread(errors), _failed(effect.group))


def _facts(runs: Sequence[ComparedRun], documents: Mapping[str, Documents]) -> tuple[tuple[str, str], ...]:
    """What is worth knowing of how the runs came about; several values where runs differ."""
    found: dict[str, dict[str, None]] = {}

    def note(name: str, value: object) -> None:
        if value not in (None, ""):
            found.setdefault(name, {})[str(value)] = None

    for run in runs:
        recipe = run.summary.facts.recipe
        for field in ("model", "data", "epochs", "batch_size", "seed"):
            note(field, recipe.get(field))
        document, result = documents.get(run.summary.id, ({}, {}))
        hardware = result.get("hardware")
        note("hardware", hardware_words(hardware) if isinstance(hardware, dict) else None)
        note("host", run.summary.status.host or document.get("host"))
        versions = document.get("versions")
        note("versions", ", ".join(f"{name} {version}" for name, version in (versions or {}).items()))
        note("backend", run.summary.status.backend)
        note("commit", document.get("git_commit"))
    return tuple((name.replace("_", " "), " / ".join(values)) for name, values in found.items())


def _watched(runs: Sequence[ComparedRun]) -> str:
    """The metric of which the runs keep the best value; none where they keep different ones."""
    watched = {run.summary.status.best.metric for run in runs if run.summary.status.best is not None}
    return watched.pop() if len(watched) == 1 else ""


def _failed(group: Group) -> int:
    return sum(run.summary.state in FAILED for run in group.unfinished)


def _spread(values: Sequence[float]) -> Spread | None:
    return spread(values) if values else None


def _short_note(effect: Effect) -> str:
    """The note without the runs that are listed one by one, of which those that did not fail are counted."""
    unfinished = effect.group.unfinished
    ids = tuple(run.summary.id for run in unfinished)
    words = [part for part in effect.note.split("; ") if part and not part.startswith(ids)]
    states = [run.summary.state for run in unfinished if run.summary.state not in FAILED]
    words += [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
    return "; ".join(words)


def _rate_words(rate: Spread | None) -> str:
    if rate is None:
        return ""
    return f"{rate.mean:.0f}" if rate.mean >= 100 else f"{rate.mean:.3g}"


def _seconds_words(seconds: Spread | None) -> str:
    if seconds is None:
        return ""
    mean = seconds.mean
    if mean < 120:
        return f"{mean:.3g} s"
    return f"{mean / 60:.3g} min" if mean < 7200 else f"{mean / 3600:.3g} h"
