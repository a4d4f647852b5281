#!/usr/bin/env python3
"""Measures the in-band detector and writes fixtures/tables/dtmf.md and its line in the README.

  tests/dtmf/score.py --harness DIR [--binary target/release/sottovoce] [--seed N ...] [--no-talkoff]

DIR is the evaluation harness (dtmf_eval.py, corpus.py, targets.json beside it); it builds its test
signals and recordings in the folder DTMF_CACHE. The first seed gives the table's main column. Needs
numpy, and for the recordings what the harness asks for.
"""
import argparse, json, os, re, subprocess, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument("--harness", required=True)
ap.add_argument("--binary", default=str(ROOT / "target/release/sottovoce"))
ap.add_argument("--seed", action="append", type=int)
ap.add_argument("--no-talkoff", action="store_true")
opt = ap.parse_args()
seeds = opt.seed or [20240, 5077]
menu, role = [opt.binary, "detect"], [opt.binary, "detect", "--profile", "role"]

# Each seed in a process of its own: the harness reads it when it is loaded.
if os.environ.get("SCORE_SEED"):
    sys.dont_write_bytecode = True
    sys.path.insert(0, opt.harness)
    import numpy as np
    import dtmf_eval as ev

    seed, with_talkoff = int(os.environ["SCORE_SEED"]), bool(os.environ.get("SCORE_TALKOFF"))
    folder, expected = ev.gen()
    out = {"menu": ev.score(menu, folder, expected, None, show=False)}
    out["menu"].update(ev.speed(menu, folder))
    r = {}
    groups = {
        "g711_clean": lambda n: n.startswith("codec/") and "opus" not in n and "loss" not in n,
        "opus_clean": lambda n: "opus" in n and n.endswith("loss0"),
    }
    for group, chosen in groups.items():
        keys = right = false = 0
        late = []
        for name in filter(chosen, expected):
            st, stray, lat, _ = ev.match(expected[name]["groups"], ev.detect(role, folder / expected[name]["file"]))
            keys += sum(s["n"] for s in st.values())
            right += sum(s["ok"] for s in st.values())
            false += stray + sum(s["extra"] + s["wrong"] for s in st.values())
            late += lat
        r[group] = dict(keys=keys, pct=100 * right / keys, false=false, median=float(np.median(late)),
                        p99=float(np.percentile(late, 99)), max=max(late))
    for name in ("doubletalk_speech", "doubletalk_music"):
        st, stray, *_ = ev.match(expected[name]["groups"], ev.detect(role, folder / expected[name]["file"]))
        r[name] = {c: 100 * s["ok"] / s["n"] for c, s in st.items()}
    out["role"] = r
    if with_talkoff:
        variants = ("raw", "tel", "slow", "fast", "deep")
        out["menu"].update(ev.talkoff(menu, variants, show=False))
        out["role_talkoff"] = ev.talkoff(role, variants, show=False)
    json.dump(out, sys.stdout)
    sys.exit()

results = {}
for n, seed in enumerate(seeds):
    env = dict(os.environ, SCORE_SEED=str(seed), DTMF_SEED=str(seed))
    if n == 0 and not opt.no_talkoff:
        env["SCORE_TALKOFF"] = "1"
    print("seed %d ..." % seed, file=sys.stderr)
    done = subprocess.run([sys.executable, __file__, *sys.argv[1:]], env=env, stdout=subprocess.PIPE, text=True, check=True)
    results[seed] = json.loads(done.stdout[done.stdout.index('{"menu"'):])

version = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], stdout=subprocess.PIPE, text=True).stdout.strip()
cargo = next(l.split('"')[1] for l in (ROOT / "Cargo.toml").read_text().splitlines() if l.startswith("version"))
targets = json.loads((Path(opt.harness) / "targets.json").read_text())
first = results[seeds[0]]

def show(v):
    return "-" if v is None else "%.4g" % v if isinstance(v, float) else str(v)

def meets(v, op, bound):
    return v is not None and (v >= bound if op == ">=" else v <= bound)

lines = ["# In-band keys, measured", "",
         "By `tests/dtmf/score.py` with sottovoce %s (%s), seeds %s." % (cargo, version, ", ".join(map(str, seeds)))]
m = first["menu"]
if "talkoff.all_hours" in m:
    lines.append("Recordings without keys: %.1f h of human speech, %.1f h of synthetic speech, %.1f h of music (five variants of each), and a reel of %.2f h of the stretches of speech that are most like keys." % (
        m["talkoff.speech_hours"], m["talkoff.synth_hours"], m["talkoff.music_hours"], m["talkoff.hard_reel_hours"]))
lines += ["", "## Profile `menu`", "", "| | wanted | best hoped for | " + " | ".join("seed %d" % s for s in seeds) + " |",
          "| --- | --- | --- |" + " ---: |" * len(seeds)]
missed = {s: 0 for s in seeds}
for metric, (op, must, stretch) in targets.items():
    cells = []
    for s in seeds:
        v = results[s]["menu"].get(metric)
        if v is None and metric.startswith("talkoff."):
            cells.append("")
            continue
        mark = "" if meets(v, op, must) else " (missed)"
        missed[s] += bool(mark)
        cells.append(show(v) + mark)
    lines.append("| %s | %s %s | %s | %s |" % (metric, op, must, stretch, " | ".join(cells)))
lines += ["", "Missed: " + ", ".join("%d with seed %d" % (n, s) for s, n in missed.items()) + ".",
          "", "## Profile `role`", "", "| | wanted | " + " | ".join("seed %d" % s for s in seeds) + " |", "| --- | --- |" + " ---: |" * len(seeds)]
def row(name, wanted, of):
    lines.append("| %s | %s | %s |" % (name, wanted, " | ".join(show(of(results[s])) for s in seeds)))
groups_of_keys = {"g711_clean": "G.711", "opus_clean": "Opus"}
for group, name in groups_of_keys.items():
    row("80 ms keys through %s, %%" % name, ">= 99.9", lambda r: r["role"][group]["pct"])
    row("decided after onset, median, ms", "", lambda r: r["role"][group]["median"])
    row("99th percentile, ms", "<= 75", lambda r: r["role"][group]["p99"])
    row("latest, ms", "<= 75", lambda r: r["role"][group]["max"])
row("100 ms keys 10 dB above own speech, %", ">= 99", lambda r: r["role"]["doubletalk_speech"]["10"])
row("the same, 6 dB, %", "", lambda r: r["role"]["doubletalk_speech"]["6"])
row("100 ms keys 10 dB above music, %", "", lambda r: r["role"]["doubletalk_music"]["10"])
if "role_talkoff" in first:
    t = first["role_talkoff"]
    rest = " |" * (len(seeds) - 1)
    lines.append("| hits in all recordings | 0 | %d |%s" % (t["talkoff.all_hits"], rest))
    lines.append("| hits on the reel | <= 2 | %d |%s" % (t["talkoff.hard_reel_hits"], rest))
text = "\n".join(lines) + "\n"
(ROOT / "fixtures/tables/dtmf.md").write_text(text)
print(text)

if "role_talkoff" not in first:
    sys.exit()                                # the README says what was found in recordings, too
wanted, t = len(targets), first["role_talkoff"]
def listed(values):
    *but_last, last = map(str, values)
    return ", ".join(but_last) + " and " + last if but_last else last
met = listed(wanted - n for n in missed.values())
latest = max(results[s]["role"][group]["max"] for s in seeds for group in groups_of_keys)
line = "| in-band keys | %s of %d targets met with seeds %s; imagined in %.1f h of human speech, %.1f h of synthetic speech and %.1f h of music: %d in a menu, %d in a session, where a clean key is known after at most %.0f ms | [table](fixtures/tables/dtmf.md), %s |" % (
    met, wanted, listed(seeds), m["talkoff.speech_hours"], m["talkoff.synth_hours"], m["talkoff.music_hours"],
    m["talkoff.all_hits"], t["talkoff.all_hits"], latest, version)
readme = ROOT / "README.md"
new, found = re.subn(r"(?m)^\| in-band keys \|.*$", lambda _: line, readme.read_text())
if found != 1:
    sys.exit("README.md has no line of the in-band keys to bring up to date")
readme.write_text(new)
