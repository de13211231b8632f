//! What the firmware decides at boot, as pure logic; needs `alloc`.
//!
//! The boot loader hands over one device tree and, in RAM, the files it names. From the tree's bytes this crate works
//! out what the [`Machine`] is, which RAM and devices are L1's, where L1's kernel and its own tree go ([`Plan`]), and
//! writes that tree ([`l1_tree`]). It touches no memory but its arguments: the image reads the blob and copies.
//!
//! The tree is QEMU's, but a truncated or foreign one must end in a message. [`Tree`] is the gate: whatever passes it
//! can be read without a panic, and every range in a [`Machine`] ends within the address space.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod error;
mod image_header;
pub mod l1_tree;
mod machine;
mod masters;
mod modules;
mod nodes;
mod options;
mod placement;
pub mod ranges;
#[cfg(test)]
mod testing;
mod tree;
mod writer;

pub use error::MachineError;
pub use image_header::ImageHeader;
pub use machine::{Machine, RAM_BANKS_MAX};
pub use masters::{Master, MasterKind, Smmu, Unconfined, tell};
pub use modules::Module;
pub use nodes::Uart;
pub use options::{OptionError, Options};
pub use placement::{LoadError, Payload, Plan};
pub use tree::{BLOB_ALIGN, HEADER_BYTES, Tree, blob_bytes};
