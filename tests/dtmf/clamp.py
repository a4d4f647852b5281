#!/usr/bin/env python3
"""Measures the key clamp and writes fixtures/tables/clamp.md and its line in the README.

  tests/dtmf/clamp.py --harness DIR [--binary target/release/sottovoce] [--seed N]

DIR is the evaluation harness (corpus.py, signals.py); its recordings are taken from the folder
DTMF_CACHE as far as they have been built there. Needs numpy.

What may leak: samples of a key that a party hears above -50 dBm0 (under speech: any that are not
silenced), all 16 keys, levels of each tone 0 to -25 dBm0, 40 to 500 ms, alone and over human speech
whose active level is 10 dB below each tone. What may be eaten: frames of 20 ms of human speech, of
those that hold speech, in which the clamp changed anything.
"""
import argparse, json, re, subprocess, sys, tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument("--harness", required=True)
ap.add_argument("--binary", default=str(ROOT / "target/release/sottovoce"))
ap.add_argument("--seed", type=int, default=20240)
opt = ap.parse_args()
sys.dont_write_bytecode = True
sys.path.insert(0, opt.harness)
import numpy as np
import corpus
from signals import FS, cache_dir, read_wav, write_wav

DELAY = 240                                   # the clamp's look-ahead, samples
ROWS, COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
LEVELS, LENGTHS_MS = (0, -5, -10, -15, -20, -25), (40, 50, 65, 100, 200, 500)
AMPLITUDE_0_DBM0 = 32767 * 10 ** (-3.14 / 20)
HEARD = AMPLITUDE_0_DBM0 * 10 ** (-50 / 20)
ACTIVE = AMPLITUDE_0_DBM0 / np.sqrt(2) * 10 ** (-45 / 20)   # root mean square of a frame of speech
rng = np.random.default_rng(opt.seed)
work = Path(tempfile.mkdtemp(prefix="clamp-"))

def clamped(path, profile):
    out = work / "others.wav"
    subprocess.run([opt.binary, "detect", "--profile", profile, "--clamped", out, path],
                   stdout=subprocess.DEVNULL, check=True)
    return read_wav(out)

def recordings():
    """Human speech that has been built, with its hours."""
    for name, kind, package, *_ in corpus.SOURCES:
        about = cache_dir() / "corpus" / (name + ".json")
        if kind == "speech" and about.exists():
            yield package, json.loads(about.read_text())["files"]

def keys(speech):
    """A sound of many keys: where each begins, its length in samples, and the sound."""
    places, parts, at = [], [], 0
    for row in ROWS:
        for column in COLUMNS:
            for level in LEVELS:
                for ms in LENGTHS_MS:
                    lead, length = int(rng.integers(2000, 2600)), ms * 8
                    t = np.arange(length) / FS
                    tone = sum(np.sin(2 * np.pi * (hz * t + rng.random())) for hz in (row, column))
                    part = np.concatenate([np.zeros(lead), tone, np.zeros(1200)]) * AMPLITUDE_0_DBM0
                    part *= 10 ** (level / 20)
                    if speech is not None:
                        begin = int(rng.integers(0, len(speech) - len(part)))
                        own = speech[begin:begin + len(part)].astype(float)
                        frames = own[:len(own) // 160 * 160].reshape(-1, 160)
                        power = (frames ** 2).mean(1)
                        active = power[power >= power.max() / 1000].mean()
                        wanted = AMPLITUDE_0_DBM0 ** 2 / 2 * 10 ** ((level - 10) / 10)
                        part += own * np.sqrt(wanted / max(active, 1.0))
                    places.append((at + lead, length)); parts.append(part); at += len(part)
    return places, np.concatenate(parts).clip(-32768, 32767)

def leaks(profile, speech, heard):
    places, sound = keys(speech)
    write_wav(work / "keys.wav", sound)
    out = clamped(work / "keys.wav", profile)
    return np.array([(np.abs(out[at + DELAY:at + DELAY + length]) > heard).sum() / 8 for at, length in places])

sources = list(recordings())
if not sources:
    sys.exit("no human speech has been built in %s" % (cache_dir() / "corpus"))
speech = read_wav(cache_dir() / "corpus" / sources[0][1][0])

rows = []
for profile in ("menu", "role"):
    for name, own, heard in (("alone", None, HEARD), ("over speech 10 dB below", speech, 0)):
        ms = leaks(profile, own, heard)
        rows.append((profile, name, len(ms), np.median(ms), ms.max(), 100 * (ms > 10).mean()))

eaten = {"menu": 0, "role": 0}
frames_of_speech, seconds = 0, 0.0
for package, files in sources:
    for file in files:
        path = cache_dir() / "corpus" / file
        sound = read_wav(path)
        sound = sound[:len(sound) // 160 * 160 - 480]
        count = len(sound) // 160
        active = np.sqrt((sound.astype(float)[:count * 160].reshape(-1, 160) ** 2).mean(1)) > ACTIVE
        frames_of_speech += active.sum(); seconds += len(sound) / FS
        for profile in eaten:
            out = clamped(path, profile)[DELAY:DELAY + count * 160]
            changed = (out.reshape(-1, 160) != sound[:count * 160].reshape(-1, 160)).any(1)
            eaten[profile] += (changed & active).sum()

version = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], stdout=subprocess.PIPE, text=True).stdout.strip()
cargo = next(l.split('"')[1] for l in (ROOT / "Cargo.toml").read_text().splitlines() if l.startswith("version"))
share = {profile: 100 * n / frames_of_speech for profile, n in eaten.items()}
worst = max(row[4] for row in rows)
lines = ["# The key clamp, measured", "",
         "By `tests/dtmf/clamp.py` with sottovoce %s (%s), seed %d." % (cargo, version, opt.seed), "",
         "## What leaks of a key, in ms", "",
         "16 keys, %s dBm0 for each tone, %s ms. Wanted: at most 10." % (", ".join(map(str, LEVELS)), ", ".join(map(str, LENGTHS_MS))), "",
         "| profile | | keys | median | most | % beyond 10 ms |", "| --- | --- | ---: | ---: | ---: | ---: |"]
lines += ["| %s | %s | %d | %.1f | %.1f | %.2f |" % row for row in rows]
lines += ["", "## What is eaten of speech", "",
          "%.1f h of human speech (%s), %d frames of 20 ms that hold speech. Wanted: at most 0.5 %%." % (
              seconds / 3600, ", ".join(package for package, _ in sources), frames_of_speech), "",
          "| profile | frames changed, % |", "| --- | ---: |"]
lines += ["| %s | %.3f |" % item for item in share.items()]
text = "\n".join(lines) + "\n"
(ROOT / "fixtures/tables/clamp.md").write_text(text)
print(text)

readme = ROOT / "README.md"
line = "| key clamp | at most %.1f ms of a key leak (wanted 10); %.2f %% of the frames of %.1f h of speech eaten (wanted 0.5) | [table](fixtures/tables/clamp.md), %s |" % (
    worst, max(share.values()), seconds / 3600, version)
old = readme.read_text()
new, found = re.subn(r"(?m)^\| key clamp \|.*$", lambda _: line, old)
if found != 1:
    sys.exit("README.md has no line of the key clamp to bring up to date")
readme.write_text(new)
