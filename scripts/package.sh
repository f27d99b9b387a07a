#!/bin/sh
# Checks that the package to be published holds what a build from it needs, and that publishing it would go well.
set -eu

cd -- "$(dirname -- "$0")/.."
CARGO=${CARGO:-cargo}
files=$("$CARGO" package --locked -p gibbs --list --allow-dirty)

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

# Builds the library from the package. A warning is a fault as well; the one that nothing is uploaded is expected.
said=$("$CARGO" publish --dry-run --locked -p gibbs --allow-dirty 2>&1) || {
    printf '%s\n' "$said" >&2
    exit 1
}
if printf '%s\n' "$said" | grep '^warning' | grep -qv 'aborting upload due to dry run'; then
    printf '%s\n' "$said" >&2
    echo "gibbs: \`cargo publish --dry-run\` warns" >&2
    exit 1
fi
