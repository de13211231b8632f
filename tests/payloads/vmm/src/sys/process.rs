//! Processes and threads.

use core::arch::asm;
use core::ptr;

use super::{CLONE, EXIT_GROUP, Errno, GETPID, KILL_CALL, Mapping, WAIT4, call, result};

/// `SIGKILL`.
pub(crate) const KILL: usize = 9;

const SIGCHLD: usize = 17;

/// Which side of a [`fork`] this is.
pub(crate) enum Fork {
    Child,
    /// With the child's process id.
    Parent(usize),
}

/// Makes a copy of this process.
///
/// # Errors
///
/// The kernel's.
pub(crate) fn fork() -> Result<Fork, Errno> {
    // SAFETY: without CLONE_VM the child has a copy of everything, the stack too.
    match unsafe { call(CLONE, [SIGCHLD, 0, 0, 0, 0, 0]) }? {
        0 => Ok(Fork::Child),
        child => Ok(Fork::Parent(child)),
    }
}

/// Does `work` on a thread of its own. When it is done, so is the process.
///
/// # Errors
///
/// The kernel's.
pub(crate) fn spawn<W: FnOnce() + Send + 'static>(work: W) -> Result<(), Errno> {
    const STACK_BYTES: usize = 64 << 10;
    /// `CLONE_VM`, `CLONE_FS`, `CLONE_FILES`, `CLONE_SIGHAND`, `CLONE_THREAD`.
    const THREAD: usize = 0x1_0f00;
    extern "C" fn begin<W: FnOnce()>(work: *mut W) -> ! {
        // SAFETY: it was put there for this thread, and nobody else takes it.
        let work = unsafe { ptr::read(work) };
        work();
        exit(1)
    }
    let stack = Mapping::private(STACK_BYTES)?.leak();
    let top = stack.as_mut_ptr_range().end.map_addr(|end| {
        let at = end - size_of::<W>();
        at - at % align_of::<W>().max(16)
    });
    // SAFETY: there is room for it below the end, at an address that it may have.
    unsafe { ptr::write(top.cast::<W>(), work) };
    let mut x0 = THREAD;
    // SAFETY: the new thread has a stack of its own, does not come back from `begin`, and shares nothing with this one but
    // what `W` may share.
    unsafe {
        asm!(
            "svc #0",
            "cbnz x0, 1f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, sp",
            "br {begin}",
            "1:",
            begin = in(reg) begin::<W> as extern "C" fn(*mut W) -> !,
            inlateout("x0") x0,
            in("x1") top,
            in("x2") 0,
            in("x3") 0,
            in("x4") 0,
            in("x8") CLONE,
            options(nostack),
        );
    }
    result(x0).map(drop)
}

/// Waits for a child to end; returns its wait status, 0 when all went well.
///
/// # Errors
///
/// The kernel's.
pub(crate) fn wait(child: usize) -> Result<u32, Errno> {
    let mut status = 0_u32;
    let at = ptr::from_mut(&mut status).expose_provenance();
    // SAFETY: the status is where the argument says.
    unsafe { call(WAIT4, [child, at, 0, 0, 0, 0]) }?;
    Ok(status)
}

/// Sends a signal to a child.
pub(crate) fn kill(child: usize, signal: usize) {
    // SAFETY: touches no memory of ours.
    let _ = unsafe { call(KILL_CALL, [child, signal, 0, 0, 0, 0]) };
}

/// This process's id.
pub(crate) fn process_id() -> usize {
    // SAFETY: touches no memory.
    unsafe { call(GETPID, [0; 6]) }.unwrap_or(0)
}

/// Ends this process.
pub(crate) fn exit(status: i32) -> ! {
    loop {
        // SAFETY: does not return.
        let _ = unsafe { call(EXIT_GROUP, [status as usize, 0, 0, 0, 0, 0]) };
    }
}
