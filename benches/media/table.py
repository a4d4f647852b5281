#!/usr/bin/env python3
"""Writes what `./run bench media` measured into README.md, between its two marks.

    benches/media/table.py [target/bench/media.json]
"""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- bench media -->", "<!-- end of bench media -->"

# Measured on such a machine, one core for the server and one for the phones, G.711.
OTHERS = {
    "CPU per forwarded packet": ("13 µs", "22 µs", "5.5 µs"),
    "calls run clean on one core: nothing lost, p99 ≤ 5 ms": ("600", "300", "1600"),
    "carried without loss": ("–", "–", "–"),
    "added delay p50 / p99 at 100 calls": ("0.1 / 0.3 ms", "11 / 21 ms", "0.05 / 0.3 ms"),
    "CPU of a core per supervised call": ("0.44 %", "0.43 %", "–"),
    "calls per core with every one whispered, clean": ("220", "–", "–"),
    "carried without loss, every one whispered": ("–", "–", "–"),
    "memory per plain call": ("310 KB", "740 KB", "60 KB"),
}


def row(rows, calls, supervised):
    for it in rows:
        if (it["calls"], it["supervised"]) == (calls, supervised):
            return it
    return None


def delay_of(it):
    delay = it["delay"]["through"]
    return f"p99 {delay['p99_ms']:.1f} ms" if delay else "delay not measured"


def most_calls(rows, kind):
    """The row with the most calls of those that are `clean` or `lossless`, with what it took."""
    rows = [it for it in rows if it[kind]]
    if not rows:
        return "none"
    it = max(rows, key=lambda it: it["calls"])
    return f"{it['calls']} at {100 * it['core_share']:.0f} %, {delay_of(it)}"


def ours(engine):
    """The same figures as of the others."""
    rows = engine["rows"]
    plain = [it for it in rows if it["supervised"] == 0]
    whole = [it for it in rows if it["supervised"] == it["calls"]]
    most = max(plain, key=lambda it: it["calls"])
    first = min(plain, key=lambda it: it["calls"])
    delay = first["delay"]["through"]
    share = "–"
    if whole:
        it = max(whole, key=lambda it: it["calls"])
        share = f"{100 * it['core_share'] / it['calls']:.2f} %"
    memory = engine["kib_per_call"]["kib"] * 1.024
    return {
        "CPU per forwarded packet": f"{most['ns_per_packet'] / 1000:.1f} µs",
        "calls run clean on one core: nothing lost, p99 ≤ 5 ms": most_calls(plain, "clean"),
        "carried without loss": most_calls(plain, "lossless"),
        "added delay p50 / p99 at 100 calls": f"{delay['p50_ms']:.1f} / {delay['p99_ms']:.1f} ms"
        if delay
        else "–",
        "CPU of a core per supervised call": share,
        "calls per core with every one whispered, clean": most_calls(whole, "clean"),
        "carried without loss, every one whispered": most_calls(whole, "lossless"),
        "memory per plain call": f"{memory:.0f} KB, media {engine['media_bytes_per_call'] / 1000:.1f} KB",
    }


def peers(engines):
    names = list(engines)
    head = [f"sottovoce, {name}" for name in names]
    head += ["Asterisk 22", "FreeSWITCH 1.10", "rtpengine 10.5, userspace"]
    lines = ["| | " + " | ".join(head) + " |", "| --- |" + " --- |" * len(head)]
    columns = {name: ours(engines[name]) for name in names}
    for what, others in OTHERS.items():
        cells = [columns[name][what] for name in names] + list(others)
        lines.append(f"| {what} | " + " | ".join(cells) + " |")
    return lines


def cores(it):
    """What the service used of its core, and the phones of theirs."""
    return f"{100 * it['core_share']:.0f} %, {100 * it['phones_core_share']:.0f} %"


def marks(it):
    """Why a row is not clean."""
    if not it["lossless"]:
        return " \\*"
    return "" if it["clean"] else " †"


def heard_in_mixes(engine):
    """How much of what mixes are made of was there in time, over all rows."""
    mixed = [it["mixed"] for it in engine["rows"]]
    said = sum(it["clicks_said"] for it in mixed)
    heard = sum(it["clicks_heard"] for it in mixed)
    frames = sum(it["packets"] for it in mixed)
    concealed = sum(it["concealed_frames"] for it in mixed)
    if not frames:
        return "no mixes"
    return (
        f"of {said} clicks that mixes were to bring {heard} were heard, and {concealed} frames were made up "
        f"for {frames} packets of them because a packet came too late"
    )


def growth(engines):
    """How cost grows with the calls."""
    head = ["calls", "coached"]
    for name in engines:
        head += [f"{name}: ns a packet", "× floor", "core, phones' core", "delay p50 / p99 ms"]
    lines = ["| " + " | ".join(head) + " |", "| ---: |" + " ---: |" * (len(head) - 1)]
    kinds = sorted(
        {(it["calls"], it["supervised"]) for engine in engines.values() for it in engine["rows"]}
    )
    for calls, supervised in kinds:
        cells = [str(calls), str(supervised)]
        for engine in engines.values():
            it = row(engine["rows"], calls, supervised)
            if it is None:
                cells += ["–"] * 4
                continue
            delay = it["delay"]["through"]
            cells += [
                f"{it['ns_per_packet']:.0f}" + marks(it),
                f"{it['times_floor']:.2f}",
                cores(it),
                f"{delay['p50_ms']:.1f} / {delay['p99_ms']:.1f}" if delay else "–",
            ]
        lines.append("| " + " | ".join(cells) + " |")
    rows = [it for engine in engines.values() for it in engine["rows"]]
    if any(not it["lossless"] for it in rows):
        lines += ["", "\\* some packet was lost or out of line in this row."]
    if any(it["lossless"] and not it["clean"] for it in rows):
        lines += ["", "† nothing was lost, but p99 of the delay is above 5 ms."]
    return lines


def main():
    path = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/bench/media.json")
    measured = json.loads(path.read_text())
    engines = measured["engines"]
    floors = [it["ns"] for it in measured["floors_ns"]]
    lines = [
        BEGIN,
        "",
        *peers(engines),
        "",
        *growth(engines),
        "",
        f"The floor, a bare recv and send on the same core in the same run: {min(floors):.0f} to "
        f"{max(floors):.0f} ns. Where the phones' own core is nearly full, their delay is in the delays.",
        "",
    ]
    for name, engine in engines.items():
        idle, roles = engine["nearly_idle"], engine["role_changes"]
        delay = idle["delay"]["through"]
        lines.append(
            f"- {name}: at {idle['calls']} calls p99 of the added delay is {delay['p99_ms']:.2f} ms"
            if delay
            else f"- {name}:"
        )
        if roles and roles["p99_within_s"]:
            lines[-1] += (
                f"; {roles['changes']:.0f} role changes at {roles['calls']} calls, "
                f"99 of 100 in force within {1000 * roles['p99_within_s']:.0f} ms"
            )
        lines[-1] += (
            f"; {engine['out_of_line']} packets towards a party out of SSRC, number or time; "
            f"{heard_in_mixes(engine)}."
        )
        for it in engine["not_carried"]:
            lines.append(f"- {name}, asked and not carried: {it}.")
    lines += ["", "What is wanted, and what was not reached:", ""]
    for name, engine in engines.items():
        for it in engine["wanted"]:
            reached = "yes" if it["reached"] else "**no**"
            lines.append(f"- {reached}, {name}: {it['what']}; got {it['got']}")
    lines += ["", END]
    readme = ROOT / "README.md"
    text = readme.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        sys.exit(f"README.md: expected {BEGIN} and {END} once each")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    readme.write_text(before + "\n".join(lines) + after)


main()
