//! Installing what is missing: the toolchain's target, QEMU, the payload.
//!
//! Each part first looks whether it has anything to do, so running setup again
//! costs next to nothing, and the other commands run the parts they need by
//! themselves.

pub mod browser;
pub mod qemu;
pub mod toolchain;

use anyhow::Result;

use crate::payload::{self, Kernel, Payload};
use crate::progress::say;
use crate::project::Project;

/// Everything.
///
/// # Errors
///
/// When a part cannot be installed; the message says what to do.
pub fn all(project: &Project) -> Result<()> {
    toolchain::ensure(project)?;
    qemu::ensure(project)?;
    let payload = Payload::default_for(project)?;
    say(&format!("L1 kernel  {}", payload.kernel.display()));
    say(&format!("L1 ramdisk {}", payload.initrd.display()));
    say("setup: done");
    Ok(())
}

/// Fetches the 7.x kernel and prints its path on standard output.
///
/// # Errors
///
/// When it cannot be fetched.
pub fn kernel_7(project: &Project) -> Result<()> {
    println!("{}", payload::kernel_image(project, Kernel::Seven)?.display());
    Ok(())
}
