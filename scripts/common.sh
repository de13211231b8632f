# Sourced by the scripts beside it: hands over to a program of the project's, mostly the host tool, `cargo xtask`.
#
# It runs with the project's directory as its own, so that cargo and rustup
# read the project's configuration; the caller's directory travels in a variable.

xtask() {
    program xtask "$@"
}

# program PACKAGE ARGUMENTS
program() {
    package=$1
    shift
    if ! command -v cargo >/dev/null; then
        echo "error: cargo is not in PATH: install Rust from https://rustup.rs" >&2
        exit 1
    fi
    if ! command -v cc >/dev/null; then
        echo "error: there is no C compiler, which Rust links with: apt-get install gcc libc6-dev" >&2
        exit 1
    fi
    GNOMON_CALLER_DIR=$PWD
    export GNOMON_CALLER_DIR
    cd "$root"
    exec cargo run --quiet --package "$package" -- "$@"
}
