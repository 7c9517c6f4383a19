"""How `quern bench` counts, for programs that measure the same cells."""

from __future__ import annotations

import math
import statistics
from typing import Any, Sequence

from schema.results_schema import CellKey


def percentile(values: Sequence[float], fraction: float) -> float:
    """The value below which `fraction` of the values lie, linear between neighbours."""
    ordered = sorted(values)
    place = fraction * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def measured_cell(key: CellKey, latencies_ms: Sequence[float], first_tokens_ms: Sequence[float] = ()) -> dict[str, Any]:
    """A cell of the results from its runs' times.

    `latencies_ms` are from the start to the last token of all, `first_tokens_ms` of the same prompts with one new
    token each; without them the phases are not separated. A decode step of no time is withheld, with the reason.
    """
    latency = statistics.median(latencies_ms)
    cell: dict[str, Any] = {
        **key._asdict(),
        "runs": len(latencies_ms),
        "latency_ms": round(latency, 3),
        "latency_p95_ms": round(percentile(latencies_ms, 0.95), 3),
        "latency_p99_ms": round(percentile(latencies_ms, 0.99), 3),
        "tokens_per_s": round(1e3 * key.batch_size * key.output_len / latency, 1),
    }
    if first_tokens_ms:
        first = statistics.median(first_tokens_ms)
        cell["time_to_first_token_ms"] = round(first, 3)
        cell["prefill_tokens_per_s"] = round(1e3 * key.batch_size * key.input_len / first)
        step = (latency - first) / (key.output_len - 1) if key.output_len > 1 else 0.0
        if step > 0:
            cell["decode_step_ms"] = round(step, 4)
            cell["decode_tokens_per_s"] = round(1e3 * key.batch_size / step, 1)
        elif key.output_len > 1:
            cell["withheld"] = {"decode": f"runs with {key.output_len} new tokens took no longer than those with 1"}
        cell["first_tokens_ms"] = [round(time, 3) for time in first_tokens_ms]
    cell["latencies_ms"] = [round(time, 3) for time in latencies_ms]
    return cell


def skipped_cell(key: CellKey, reason: str) -> dict[str, Any]:
    return {**key._asdict(), "skipped": reason}
