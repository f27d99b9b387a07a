#!/bin/sh
# The checkers of `make lint` that cargo does not bring, from PyPI, in a virtual environment of their own in .tools/.
#
#   scripts/lint_tools.sh need        installs them in the versions of scripts/lint_tools.txt
#   scripts/lint_tools.sh typos       spelling, with the exceptions of _typos.toml
#   scripts/lint_tools.sh workflows   the files in .github/workflows/ against GitHub's schema
#
# Without Python a message says what to install; under CI=true that is an error, otherwise these checks are skipped.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
versions=$root/scripts/lint_tools.txt
tools=$root/.tools
# Windows has another name for the folder.
programs=$tools/bin
if [ -d "$tools/Scripts" ]; then programs=$tools/Scripts; fi

say() { printf 'gibbs: %s\n' "$*" >&2; }

# Missing tools stop CI and are only reported elsewhere.
missing() {
    say "$*"
    if [ "${CI:-}" = true ]; then exit 1; fi
    say "going on without typos and check-jsonschema"
    exit 0
}

show() {
    printf '+ %s\n' "$*" >&2
    "$@"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        show "$@"
    elif command -v sudo >/dev/null 2>&1; then
        show sudo "$@"
    else
        return 1
    fi
}

installed() { [ -f "$tools/versions" ] && cmp -s "$versions" "$tools/versions"; }

python() {
    for name in python3 python; do
        if command -v "$name" >/dev/null 2>&1 && "$name" -c 'import ensurepip, venv' 2>/dev/null; then
            printf '%s\n' "$name"
            return
        fi
    done
}

need() {
    if installed; then return; fi
    if [ -z "$(python)" ] && command -v apt-get >/dev/null 2>&1; then
        say "no Python with venv found, which the checkers of spelling and workflows need"
        as_root apt-get -o DPkg::Lock::Timeout=120 update -q &&
            as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y -q \
                --no-install-recommends python3-venv || true
    fi
    python=$(python)
    if [ -z "$python" ]; then missing "no Python 3 with venv found: install it from https://www.python.org"; fi
    rm -rf "$tools"
    show "$python" -m venv "$tools" || missing "could not make a virtual environment in .tools/"
    if [ -d "$tools/Scripts" ]; then programs=$tools/Scripts; fi
    show "$programs/python" -m pip install -q --disable-pip-version-check -r "$versions" ||
        missing "could not install $(tr '\n' ' ' <"$versions")"
    cp "$versions" "$tools/versions"
}

run() {
    if ! installed; then missing "the checkers are not installed: scripts/lint_tools.sh need"; fi
    cd "$root"
    show "$programs/$@"
}

case ${1:-} in
need) need ;;
typos) run typos ;;
workflows) run check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml ;;
*)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
