#!/usr/bin/env python3
"""Compares two output folders of an example to the last bit.

    scripts/same_bits.py BEFORE AFTER [--rename OLD=NEW]...

Every tensor of every .safetensors file must be there on both sides with the same type, shape and bytes; every number of every .json
and .jsonl file must be the same, apart from times and speeds, adapters' names and what `--rename` maps. `--rename` renames tensors,
keys and files of BEFORE; a name that ends in `.` renames all names that begin with it. Exit status 1 if anything differs, with a
line for each difference; 2 if a folder holds nothing to compare.
"""

import argparse
import json
import re
import struct
import sys
from pathlib import Path

# What differs from run to run.
TIMES = ("seconds", "per_second")
MACHINE = {"adapter", "backend"}
# Hashes of options, which are described differently by another version.
DESCRIPTIONS = {"recipe"}
SHOWN = 40


def tensors(path):
    """Name to (type, shape, bytes); the description in the metadata is left out."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    data = raw[8 + length :]
    found = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            found[name] = (entry["dtype"], tuple(entry["shape"]), data[begin:end])
    return found


def numbers(value, path=""):
    """Pairs of a path and a leaf. An absent value and null are the same."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not key.endswith(TIMES) and key not in MACHINE | DESCRIPTIONS:
                yield from numbers(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from numbers(inner, f"{path}[{index}]")
    elif value is not None:
        # Floats by their bits: 0.0 and -0.0 are not the same.
        leaf = struct.pack("<d", value).hex() if isinstance(value, float) else value
        yield path, (leaf, value)


def json_leaves(path):
    text = path.read_text()
    if path.suffix == ".jsonl":
        return dict(numbers([json.loads(line) for line in text.splitlines() if line.strip()]))
    return dict(numbers(json.loads(text)))


class Comparison:
    def __init__(self, renames):
        self.renames = renames
        self.differences = []
        self.compared = 0

    def renamed(self, name):
        for old, new in self.renames:
            if name == old:
                return new
            if old.endswith(".") and name.startswith(old):
                return new + name[len(old) :]
        return name

    def renamed_path(self, path):
        """A path of keys, of which each may be renamed."""
        parts = []
        for part in path.split("."):
            key, bracket, rest = part.partition("[")
            parts.append(self.renamed(key) + bracket + rest)
        return ".".join(parts)

    def pairs(self, label, before, after, same, shown):
        for name in sorted(before.keys() | after.keys()):
            self.compared += 1
            if name not in before:
                self.differences.append(f"{label}: {name} is only in the second")
            elif name not in after:
                self.differences.append(f"{label}: {name} is only in the first")
            elif not same(before[name], after[name]):
                self.differences.append(f"{label}: {name}: {shown(before[name], after[name])}")

    def file(self, label, before, after):
        if before.suffix == ".safetensors":
            first = {self.renamed(name): value for name, value in tensors(before).items()}
            self.pairs(label, first, tensors(after), lambda a, b: a == b, tensor_difference)
        else:
            first = {self.renamed_path(name): value for name, value in json_leaves(before).items()}
            self.pairs(label, first, json_leaves(after), lambda a, b: a[0] == b[0], lambda a, b: f"{a[1]} and {b[1]}")


def tensor_difference(before, after):
    if before[:2] != after[:2]:
        return f"{before[0]} {list(before[1])} and {after[0]} {list(after[1])}"
    words = zip(struct.iter_unpack("<I", before[2]), struct.iter_unpack("<I", after[2]))
    different = [at for at, (a, b) in enumerate(words) if a != b]
    return f"{len(different)} of {len(before[2]) // 4} elements differ, the first at {different[0]}"


def files(folder):
    """Files by their path in the folder, hashes of options left out."""
    kinds = {".safetensors", ".json", ".jsonl"}
    found = [path for path in sorted(folder.rglob("*")) if path.suffix in kinds]
    return {re.sub(r"-[0-9a-f]{16}(?=\.)", "", str(path.relative_to(folder))): path for path in found}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rename", action="append", default=[], metavar="OLD=NEW")
    arguments = parser.parse_args()
    renames = [tuple(pair.split("=", 1)) for pair in arguments.rename]
    if any(len(pair) != 2 for pair in renames):
        parser.error("--rename takes OLD=NEW")
    comparison = Comparison(renames)
    before = {comparison.renamed(name): path for name, path in files(arguments.before).items()}
    after = files(arguments.after)
    if not before or not after:
        print("nothing to compare: a folder is missing or holds no .safetensors, .json or .jsonl file")
        return 2
    for name in sorted(before.keys() | after.keys()):
        if name not in before or name not in after:
            comparison.differences.append(f"{name} is only in the {'second' if name not in before else 'first'} folder")
        else:
            comparison.file(name, before[name], after[name])
    for line in comparison.differences[:SHOWN]:
        print(line)
    if len(comparison.differences) > SHOWN:
        print(f".. and {len(comparison.differences) - SHOWN} more")
    count = len(before.keys() & after.keys())
    print(f"{count} files, {comparison.compared} tensors and values compared, {len(comparison.differences)} differences")
    return 1 if comparison.differences else 0


if __name__ == "__main__":
    sys.exit(main())
