#!/bin/sh
# Checks that the package to be published holds what a build from it needs.
set -eu

cd -- "$(dirname -- "$0")/.."
files=$(cargo package -p gibbs --list --allow-dirty)

for file in LICENSE-MIT LICENSE-APACHE README.md CHANGELOG.md src/lib.rs; do
    printf '%s\n' "$files" | grep -qxF "$file" || {
        echo "gibbs: $file is missing from the package" >&2
        exit 1
    }
done

# Shaders are compiled into the library: one left out breaks every build from the package.
find shaders -name '*.wgsl' | while IFS= read -r shader; do
    printf '%s\n' "$files" | grep -qxF "$shader" || {
        echo "gibbs: $shader is missing from the package" >&2
        exit 1
    }
done
