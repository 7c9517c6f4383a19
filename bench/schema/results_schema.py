"""Results of `quern bench --json` and of the peers' benchmarks: reading, checking, grouping.

A file holds one document, a list of them, or one on each line. docs/benchmarking.md tells what the fields mean.
"""

from __future__ import annotations

import json
import pathlib
import statistics
import sys
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, NamedTuple, Sequence

from schema import json_schema

SCHEMA_NAME = "quern bench"
SCHEMA_VERSION = 2
_SCHEMA_FILE = pathlib.Path(__file__).resolve().parent / "results.schema.json"
NO_STOP_CHECKS = 1000  # a check interval from which on there are no stop checks before the end


class ResultError(Exception):
    """A bad file or argument; the message is one line."""


class CellKey(NamedTuple):
    """A cell: number of prompts, tokens of each, and new tokens of each."""

    batch_size: int
    input_len: int
    output_len: int

    def __str__(self) -> str:
        return f"batch {self.batch_size}, {self.input_len},{self.output_len}"


class Subject(NamedTuple):
    """What was measured, how and where: figures of one subject are directly comparable."""

    program: str
    model: str
    num_hidden_layers: int | None
    weights: str
    dtype: str
    device: str  # the GPU's or the CPU's name
    skip_steps: int
    check_interval: int
    device_loop: str

    def loop_name(self) -> str:
        """The stop-check schedule, as a label."""
        if self.device_loop == "require":
            return "device loop"
        if self.check_interval >= NO_STOP_CHECKS:
            return "no stop checks"
        if (self.skip_steps, self.check_interval) != (0, 1):
            return f"stop checks {self.skip_steps}/{self.check_interval}"
        return "stop check every step" if self.device_loop == "off" else ""

    def label(self) -> str:
        return ", ".join(filter(None, [self.program, self.loop_name()]))


@dataclass
class Series:
    """All runs of one subject: for each cell the figures of each run, in the order of the files."""

    subject: Subject
    documents: list[dict[str, Any]] = field(default_factory=list)
    cells: dict[CellKey, list[dict[str, Any]]] = field(default_factory=dict)
    skipped: dict[CellKey, str] = field(default_factory=dict)

    def value(self, key: CellKey, name: str) -> float | None:
        """The median over the runs of a cell's figure; None where no run has it."""
        values = [cell[name] for cell in self.cells.get(key, []) if cell.get(name) is not None]
        return statistics.median(values) if values else None

    def ceiling(self, name: str) -> float | None:
        values = [document["ceilings"][name] for document in self.documents if document["ceilings"]]
        return statistics.median(values) if values else None


def cell_key(cell: dict[str, Any]) -> CellKey:
    return CellKey(cell["batch_size"], cell["input_len"], cell["output_len"])


def subject_of(document: dict[str, Any]) -> Subject:
    engine = document["engine"] or {}
    settings = document["settings"]
    return Subject(
        program=document["program"],
        model=pathlib.PurePath(engine.get("model", "none")).name,
        num_hidden_layers=engine.get("num_hidden_layers"),
        weights=engine.get("weights", "none"),
        dtype=engine.get("dtype", "none"),
        device=device_name(document),
        skip_steps=settings.get("skip_steps", 0),
        check_interval=settings.get("check_interval", 1),
        device_loop=settings.get("device_loop", "auto"),
    )


def device_name(document: dict[str, Any]) -> str:
    """The GPU's name, or the CPU's."""
    device = (document["engine"] or {}).get("device", "")
    environment = document["environment"]
    for gpu in environment.get("gpus") or []:
        if device == f"cuda:{gpu['index']}":
            return gpu["name"]
    return (environment.get("cpu") or {}).get("model") or device or "unknown"


def validate(document: Any, name: str) -> None:
    """Errors: ResultError naming the file, the place and what was expected."""
    if isinstance(document, dict) and document.get("schema") == SCHEMA_NAME:
        version = document.get("schema_version")
        if version != SCHEMA_VERSION:
            raise ResultError(f"{name}: schema_version {version!r}, expected {SCHEMA_VERSION}")
    found = json_schema.errors(document, json.loads(_SCHEMA_FILE.read_text()))
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise ResultError(f"{name}: {found[0]}{more}")


def read_json(path: str) -> list[Any]:
    """The JSON values of a file: one, those of a list, or one a line. Errors: ResultError."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        value = json.loads(text)
        return value if isinstance(value, list) else [value]
    except json.JSONDecodeError as whole_error:
        values = []
        for number, line in enumerate(text.splitlines(), 1):
            try:
                values += [json.loads(line)] if line.strip() else []
            except json.JSONDecodeError as error:
                where = f"line {number}: {error.msg}" if values else f"{whole_error}"
                raise ResultError(f"{path}: no JSON: {where}") from None
        if not values:
            raise ResultError(f"{path}: no JSON: the file is empty") from None
        return values


def load(path: str) -> list[dict[str, Any]]:
    """The documents of a file, checked. Errors: ResultError."""
    documents = read_json(path)
    for index, document in enumerate(documents):
        validate(document, path if len(documents) == 1 else f"{path}, document {index + 1}")
    return documents


def series_of(documents: Iterable[dict[str, Any]]) -> list[Series]:
    """Documents of the same subject together, in the order of their first."""
    found: dict[Subject, Series] = {}
    for document in documents:
        series = found.setdefault(subject_of(document), Series(subject_of(document)))
        series.documents.append(document)
        for cell in document["cells"]:
            if "skipped" in cell:
                series.skipped[cell_key(cell)] = cell["skipped"]
            else:
                series.cells.setdefault(cell_key(cell), []).append(cell)
    return [series for series in found.values() if series.cells or series.skipped]


def load_series(paths: Sequence[str]) -> list[Series]:
    """Of all files together. Errors: ResultError, also when there is no cell at all."""
    series = series_of(document for path in paths for document in load(path))
    if not any(one.cells for one in series):
        raise ResultError(f"{', '.join(paths)}: no cell was measured")
    return series


def run_script(main: Callable[[], int]) -> None:
    """Ends the process with main's exit code, or 1 and one `error:` line for a ResultError."""
    try:
        code = main()
        sys.stdout.flush()
    except ResultError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 1
    except BrokenPipeError:  # the reader has exited
        sys.stderr.close()
        code = 0
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
