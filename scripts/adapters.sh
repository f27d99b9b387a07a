#!/bin/sh
# Finds or installs what gibbs needs on a bare machine, and runs programs on the software renderers alone.
#
#   scripts/adapters.sh need WHAT...      tools | driver | lavapipe | lavapipe-25 | swiftshader
#   scripts/adapters.sh run COMMAND...    COMMAND with lavapipe and SwiftShader as its only Vulkan drivers
#
# tools        cargo, and a C linker for it
# driver       any Vulkan driver that can be expected to find an adapter
# lavapipe     Mesa's CPU driver
# lavapipe-25  on Debian 12, whose lavapipe is Mesa 22.3: that of Mesa 25 beside it, unpacked from the packages of
#              bookworm-backports into .adapters/ (20 MB to fetch; the system's package sources stay as they are)
# swiftshader  SwiftShader, unpacked from Debian's chromium-common package into .adapters/
#
# What is missing is installed with apt-get where there is one. Elsewhere a message says what to install; under CI=true
# a renderer that is missing is an error, otherwise the tests that need it are skipped.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
swiftshader=$root/.adapters/swiftshader
lavapipe25=$root/.adapters/lavapipe-25
system=$(uname -s)

say() { printf 'gibbs: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# A missing renderer stops CI and is only reported elsewhere.
missing() {
    if [ "${CI:-}" = true ]; then fail "$* (required under CI=true)"; fi
    say "$*; going on without"
}

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        printf '+ %s\n' "$*" >&2
        "$@"
    elif have sudo; then
        printf '+ sudo %s\n' "$*" >&2
        sudo "$@"
    else
        say "not root and no sudo; please run as root: $*"
        return 1
    fi
}

refresh_packages() { as_root apt-get -o DPkg::Lock::Timeout=120 update -q; }

install_packages() {
    refresh_packages || return 1
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=120 install -y -q --no-install-recommends "$@"
}

# Driver manifests, one path a line, where the Vulkan loader looks for them.
manifests() {
    chosen=${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}
    if [ -n "$chosen" ]; then
        printf '%s\n' "$chosen" | tr ':' '\n' | while IFS= read -r file; do
            if [ -f "$file" ]; then printf '%s\n' "$file"; fi
        done
        return
    fi
    standard_manifests
}

standard_manifests() {
    home=${HOME:-/nonexistent}
    folders=${XDG_CONFIG_HOME:-$home/.config}:${XDG_CONFIG_DIRS:-/etc/xdg}:/etc
    folders=$folders:${XDG_DATA_HOME:-$home/.local/share}:${XDG_DATA_DIRS:-/usr/local/share:/usr/share}
    printf '%s\n' "$folders" | tr ':' '\n' | while IFS= read -r folder; do
        for file in "$folder"/vulkan/icd.d/*.json; do
            if [ -f "$file" ]; then printf '%s\n' "$file"; fi
        done
    done
}

# lavapipe's manifest for this machine's architecture; older Mesa puts the architecture into the name.
lavapipe_manifest() {
    found=$(standard_manifests | grep '/lvp_icd[^/]*$' || true)
    if [ -z "$found" ]; then return; fi
    own=$(printf '%s\n' "$found" | grep -e "/lvp_icd\.$(uname -m)\.json$" -e '/lvp_icd\.json$' || true)
    printf '%s\n' "${own:-$found}" | head -n 1
}

swiftshader_manifest() {
    file=$swiftshader/vk_swiftshader_icd.json
    if [ -f "$file" ] && [ -f "$swiftshader/libvk_swiftshader.so" ]; then printf '%s\n' "$file"; fi
}

lavapipe25_manifest() {
    file=$lavapipe25/lvp_icd.json
    if [ -f "$file" ] && [ -f "$lavapipe25/libvulkan_lvp.so" ]; then printf '%s\n' "$file"; fi
}

# The loader is a library of its own that a driver does not always bring along.
have_loader() {
    for cache in ldconfig /sbin/ldconfig; do
        if have "$cache"; then
            "$cache" -p 2>/dev/null | grep -q 'libvulkan\.so\.1'
            return
        fi
    done
    return 1
}

have_gpu_node() {
    for node in /dev/dri/renderD* /dev/nvidia[0-9]* /dev/dxg; do
        if [ -e "$node" ]; then return 0; fi
    done
    return 1
}

# A hardware driver's manifest says nothing unless there is hardware; lavapipe's always does.
have_driver() {
    have_loader || return 1
    if manifests | grep -q -e '/lvp_icd' -e 'swiftshader'; then return 0; fi
    [ -n "$(manifests)" ] && have_gpu_node
}

need_tools() {
    have cargo || fail "cargo not found: install Rust first, see https://rustup.rs"
    if have cc; then return; fi
    if have apt-get; then
        say "no C linker found, which cargo needs; installing gcc"
        install_packages gcc libc6-dev || fail "could not install gcc"
    else
        fail "no C linker (cc) found: install your system's C compiler"
    fi
}

need_driver() {
    if [ "$system" != Linux ] || have_driver; then return; fi
    if have apt-get; then
        say "no usable Vulkan driver found; installing Mesa's"
        install_packages libvulkan1 mesa-vulkan-drivers || fail "could not install Mesa's Vulkan driver"
    else
        say "no usable Vulkan driver found: install Mesa's (Fedora: mesa-vulkan-drivers; Arch: vulkan-swrast;" \
            "Alpine: mesa-vulkan-swrast) and the Vulkan loader"
    fi
}

need_lavapipe() {
    if [ -n "$(lavapipe_manifest)" ] && have_loader; then return; fi
    if [ "$system" = Linux ] && have apt-get; then
        say "lavapipe not found; installing Mesa's Vulkan drivers"
        install_packages libvulkan1 mesa-vulkan-drivers || true
    fi
    if [ -z "$(lavapipe_manifest)" ] || ! have_loader; then
        missing "lavapipe (Mesa's CPU driver for Vulkan) not found"
    fi
}

need_swiftshader() {
    if [ -n "$(swiftshader_manifest)" ]; then return; fi
    if [ "$(distribution)" != debian ] || ! have apt-get || ! have dpkg-deb; then
        missing "SwiftShader not available: only Debian's chromium-common package carries it," \
            "other systems (Ubuntu ships Chromium as a snap) do not"
        return
    fi
    make_scratch
    say "unpacking SwiftShader from Debian's chromium-common into .adapters/swiftshader"
    if unpack_swiftshader; then
        rm -rf "$swiftshader"
        mv "$scratch/swiftshader" "$swiftshader"
    else
        missing "SwiftShader could not be unpacked from chromium-common"
    fi
    rm -rf "$scratch"
}

# A folder for downloads, gone at the end whatever happens.
make_scratch() {
    mkdir -p "$root/.adapters"
    scratch=$(mktemp -d "$root/.adapters/download.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 1' HUP INT TERM
}

unpack_swiftshader() {
    # A fresh container has no package lists yet, a stale one has wrong ones.
    if ! download_chromium; then
        refresh_packages || return 1
        download_chromium || return 1
    fi
    mkdir "$scratch/swiftshader" || return 1
    dpkg-deb --fsys-tarfile "$scratch"/chromium-common_*.deb |
        tar -x -f - -C "$scratch" ./usr/lib/chromium/libvk_swiftshader.so \
            ./usr/lib/chromium/vk_swiftshader_icd.json || return 1
    mv "$scratch/usr/lib/chromium/libvk_swiftshader.so" "$scratch/swiftshader/" || return 1
    # The slash makes the loader look beside the manifest instead of in the system's folders.
    sed 's|"library_path": *"[^"]*"|"library_path": "./libvk_swiftshader.so"|' \
        "$scratch/usr/lib/chromium/vk_swiftshader_icd.json" >"$scratch/swiftshader/vk_swiftshader_icd.json"
}

download_chromium() { fetch download chromium-common; }

# apt-get within the scratch folder.
fetch() {
    (
        cd "$scratch"
        printf '+ apt-get %s\n' "$*" >&2
        # As root apt would warn that its unprivileged user cannot write here.
        apt-get -q -o "APT::Sandbox::User=$(id -un)" "$@"
    )
}

need_lavapipe25() {
    if [ -n "$(lavapipe25_manifest)" ]; then return; fi
    if [ "$(distribution)" != debian ] || [ "$(release)" != bookworm ]; then
        # Elsewhere the system's own is of these years, or there are no packages that fit.
        return
    fi
    if ! have apt-get || ! have dpkg-deb; then
        missing "lavapipe of Mesa 25 needs apt-get and dpkg-deb"
        return
    fi
    make_scratch
    say "unpacking lavapipe of Mesa 25 from Debian's bookworm-backports into .adapters/lavapipe-25"
    if unpack_lavapipe25; then
        rm -rf "$lavapipe25"
        mv "$scratch/lavapipe-25" "$lavapipe25"
    else
        missing "lavapipe of Mesa 25 could not be unpacked from bookworm-backports"
    fi
    rm -rf "$scratch"
}

# The packages of Mesa 25 itself, and of Debian 12 what its older lavapipe does without.
unpack_lavapipe25() {
    mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial" "$scratch/lavapipe-25" || return 1
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keys] http://deb.debian.org/debian bookworm-backports main" >"$scratch/sources.list"
    backports="-o Dir::Etc::SourceList=$scratch/sources.list -o Dir::Etc::SourceParts=/dev/null"
    backports="$backports -o Dir::State::Lists=$scratch/lists -o Dir::Cache=$scratch/cache"
    # shellcheck disable=SC2086
    fetch $backports update || return 1
    # shellcheck disable=SC2086
    fetch $backports download mesa-vulkan-drivers mesa-libgallium libdrm2 libdrm-amdgpu1 libdrm-intel1 || return 1
    if ! fetch download libpciaccess0 libsensors5; then
        refresh_packages || return 1
        fetch download libpciaccess0 libsensors5 || return 1
    fi
    for package in "$scratch"/*.deb; do
        dpkg-deb -x "$package" "$scratch/unpacked" || return 1
    done
    for library in "$scratch"/unpacked/usr/lib/*/*.so*; do
        case ${library##*/} in
        libvulkan_lvp.so | libgallium-* | libdrm* | libpciaccess* | libsensors*)
            mv "$library" "$scratch/lavapipe-25/" || return 1
            ;;
        esac
    done
    sed 's|"library_path": *"[^"]*"|"library_path": "./libvulkan_lvp.so"|' \
        "$scratch"/unpacked/usr/share/vulkan/icd.d/lvp_icd*.json >"$scratch/lavapipe-25/lvp_icd.json"
}

distribution() { os_release ID; }
release() { os_release VERSION_CODENAME; }

os_release() {
    if [ -r /etc/os-release ]; then
        # shellcheck source=/dev/null
        (. /etc/os-release && eval "printf '%s\n' \"\${$1:-}\"")
    fi
}

run() {
    if [ "${CI:-}" = true ] || [ -z "${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}" ]; then
        drivers=$(lavapipe_manifest)
        for second in $(lavapipe25_manifest) $(swiftshader_manifest); do
            drivers=$drivers${drivers:+:}$second
        done
        if [ -n "$(lavapipe25_manifest)" ]; then
            # Where its libraries look for each other.
            export LD_LIBRARY_PATH="$lavapipe25${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
            if [ "${CI:-}" = true ]; then
                export GIBBS_REQUIRED_ADAPTERS="${GIBBS_REQUIRED_ADAPTERS-lavapipe,lavapipe-25,swiftshader}"
            fi
        fi
        if [ -n "$drivers" ]; then
            # Loaders before 1.3.207 know only the second name.
            export VK_DRIVER_FILES="$drivers" VK_ICD_FILENAMES="$drivers"
            say "Vulkan drivers: $drivers"
        fi
    fi
    if [ -n "${XDG_RUNTIME_DIR:-}" ] || [ "$system" != Linux ]; then exec "$@"; fi
    XDG_RUNTIME_DIR=$(mktemp -d)
    export XDG_RUNTIME_DIR
    trap 'rm -rf "$XDG_RUNTIME_DIR"' EXIT
    trap 'exit 1' HUP INT TERM
    "$@"
}

usage() {
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

[ $# -ge 2 ] || usage
action=$1
shift
case $action in
need)
    for what in "$@"; do
        case $what in
        tools) need_tools ;;
        driver) need_driver ;;
        lavapipe) need_lavapipe ;;
        lavapipe-25) need_lavapipe25 ;;
        swiftshader) need_swiftshader ;;
        *) usage ;;
        esac
    done
    ;;
run) run "$@" ;;
*) usage ;;
esac
