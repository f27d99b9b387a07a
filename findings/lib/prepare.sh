# Read by the findings: a temporary folder with pinned packages, and one renderer to run on.
#
#   prepare PACKAGE==VERSION...    $python then has them; the folder goes with the script
#   renderer lavapipe|swiftshader  the only Vulkan driver from then on; OpenGL stays Mesa's
set -eu

# shellcheck disable=SC1007
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
adapters=$here/../scripts/adapters.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
export XDG_RUNTIME_DIR="$work" PYTHONPATH="$here/lib" PYTHONDONTWRITEBYTECODE=1 PYTHONWARNINGS=ignore
python=$work/python/bin/python

prepare() {
    python3 -m venv "$work/python"
    "$python" -m pip install --quiet --disable-pip-version-check "$@"
}

renderer() {
    "$adapters" need "$1"
    case $1 in
    lavapipe) pattern='lvp_icd' ;;
    swiftshader) pattern='vk_swiftshader_icd' ;;
    esac
    VK_DRIVER_FILES=$(env -u VK_DRIVER_FILES -u VK_ICD_FILENAMES "$adapters" run sh -c 'echo "$VK_DRIVER_FILES"' 2>/dev/null |
        tr ':' '\n' | grep "$pattern" | head -n 1)
    VK_ICD_FILENAMES=$VK_DRIVER_FILES
    export VK_DRIVER_FILES VK_ICD_FILENAMES
}
