//! gnomon's host tool, as a library.
//!
//! Everything a person, a test or a script does with gnomon on the host goes
//! through here: installing what is missing ([`setup`]), building the firmware
//! ([`firmware`]), starting it in QEMU ([`machine`]), and running the tests
//! ([`mod@test`]). The binary `xtask` is a thin command line over it, and the shell
//! scripts one directory up are a thin layer over the binary.
//!
//! The parts that only compute (composing QEMU's arguments, writing an archive,
//! reading an ELF, comparing versions) are kept apart from the parts that run
//! programs, take values and return values, and are tested without QEMU or a
//! network.
//!
//! The order of dependencies, lowest first:
//!
//! - [`version`], [`cpio`], [`elf`], [`arm64_image`], [`lock`], [`memory`]: pure
//!   values and formats;
//! - [`project`], [`process`], [`progress`]: where things are, how programs run;
//! - [`download`], [`apt`], [`deb`], [`linux_source`]: Debian's archive;
//! - [`payload`]: what L1 and L2 boot;
//! - [`browser`]: a browser, for the tests of pages;
//! - [`firmware`], [`profile`], [`machine`], [`console`]: gnomon in QEMU;
//! - [`setup`], [`run`], [`mod@test`], [`miri`], [`mod@bench`], [`selftests`],
//!   [`hotspots`], [`perfetto`], [`view`], [`golden`], [`fuzz`], [`census`],
//!   [`conformance`], [`doctor`]: the commands.

pub mod apt;
pub mod arm64_image;
pub mod bench;
pub mod browser;
pub mod census;
pub mod conformance;
pub mod console;
pub mod cpio;
pub mod deb;
pub mod doctor;
pub mod download;
pub mod elf;
#[cfg(test)]
mod evidence;
pub mod firmware;
pub mod fuzz;
pub mod golden;
pub mod hotspots;
pub mod linux_source;
pub mod lock;
pub mod machine;
pub mod memory;
pub mod miri;
pub mod payload;
pub mod perfetto;
pub mod process;
pub mod profile;
pub mod progress;
pub mod project;
pub mod run;
pub mod selftests;
pub mod setup;
pub mod symbols;
pub mod test;
pub mod version;
pub mod view;
