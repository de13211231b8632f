//! The end of the machine, or its next kernel.

use super::{Errno, IOCTL, KEXEC_LOAD, REBOOT, STDOUT, call};

/// A piece of the next kernel: from where, and to which physical addresses.
#[repr(C)]
pub(crate) struct Segment {
    from: *const u8,
    from_bytes: usize,
    to: u64,
    to_bytes: usize,
}

impl Segment {
    /// Bytes that go to `to`, with `more` zeroes behind them.
    pub(crate) fn new(bytes: &'static [u8], to: u64, more: usize) -> Self {
        const PAGE_BYTES: usize = 4096;
        Self {
            from: bytes.as_ptr(),
            from_bytes: bytes.len(),
            to,
            to_bytes: (bytes.len() + more).next_multiple_of(PAGE_BYTES),
        }
    }
}

/// Has the kernel keep another one, which begins at physical address `entry`.
///
/// # Errors
///
/// The kernel's.
pub(crate) fn load_kernel(entry: u64, segments: &[Segment]) -> Result<(), Errno> {
    let at = segments.as_ptr().expose_provenance();
    // SAFETY: so many segments are there, and the bytes of each.
    unsafe { call(KEXEC_LOAD, [entry as usize, segments.len(), at, 0, 0, 0]) }.map(drop)
}

/// Ways for the machine to end (`reboot`).
const POWER_OFF: usize = 0x4321_fedc;
const RESTART: usize = 0x0123_4567;
const KEXEC: usize = 0x4558_4543;

/// Starts the kernel that was loaded. If it returns, that cannot be.
pub(crate) fn boot_loaded() -> Errno {
    drain();
    reboot(KEXEC)
}

/// Ends the machine.
pub(crate) fn power_off() -> ! {
    drain();
    loop {
        reboot(POWER_OFF);
    }
}

/// Restarts the machine.
pub(crate) fn restart() -> ! {
    drain();
    loop {
        reboot(RESTART);
    }
}

/// Waits until what was printed is out: Linux may only begin to send it when its UART has woken up.
fn drain() {
    /// `tcdrain` with an argument that is not 0.
    const TCSBRK: usize = 0x5409;
    // SAFETY: touches no memory.
    let _ = unsafe { call(IOCTL, [STDOUT as usize, TCSBRK, 1, 0, 0, 0]) };
}

fn reboot(how: usize) -> Errno {
    const MAGIC: usize = 0xfee1_dead;
    const MAGIC2: usize = 672_274_793;
    // SAFETY: touches no memory that is there afterwards.
    match unsafe { call(REBOOT, [MAGIC, MAGIC2, how, 0, 0, 0]) } {
        Ok(_) => Errno(0),
        Err(errno) => errno,
    }
}
