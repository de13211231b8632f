//! Gives the linker script to the image, and only to the image: host builds of the workspace link as usual.

fn main() {
    println!("cargo::rerun-if-changed=../linker.ld");
    println!("cargo::rerun-if-changed=../boot");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
        println!("cargo::rustc-link-arg-bins=-T{root}/../linker.ld");
        println!("cargo::rustc-link-arg-bins=--no-rosegment");
        // Functions that came out the same are one: no address of a function is ever compared.
        println!("cargo::rustc-link-arg-bins=--icf=all");
    }
}
