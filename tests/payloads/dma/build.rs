//! Gives the payload's linker script to it, and leaves host builds of the workspace as they are.

fn main() {
    println!("cargo::rerun-if-changed=../lib/payload.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let dir = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
        println!("cargo::rustc-link-arg-bins=-T{dir}/../lib/payload.ld");
    }
}
