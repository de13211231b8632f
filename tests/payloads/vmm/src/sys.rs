//! Linux's system calls, as far as they are needed: numbers and flags of `arm64`.
//!
//! Descriptors and mappings are values that give back what they are when they are dropped.

mod mapping;
mod power;
mod process;
mod time;

use core::arch::asm;
use core::ffi::CStr;
use core::fmt;
use core::ptr;

pub(crate) use mapping::{DONT_NEED, HUGE_PAGES, Mapping, NO_HUGE_PAGES};
pub(crate) use power::{Segment, boot_loaded, load_kernel, power_off, restart};
pub(crate) use process::{Fork, KILL, exit, fork, kill, process_id, spawn, wait};
pub(crate) use time::{is_typed_within, now_ms, sleep_ms};

/// Standard input and output.
pub(crate) const STDIN: i32 = 0;
pub(crate) const STDOUT: i32 = 1;

/// How [`open`] opens.
pub(crate) const READ_ONLY: usize = 0;
pub(crate) const READ_WRITE: usize = 2;
pub(crate) const NON_BLOCKING: usize = 0o4000;

const MKDIRAT: usize = 34;
const IOCTL: usize = 29;
const MOUNT: usize = 40;
const OPENAT: usize = 56;
const CLOSE: usize = 57;
const READ: usize = 63;
const WRITE: usize = 64;
const PREAD: usize = 67;
const PWRITE: usize = 68;
const PPOLL: usize = 73;
const EXIT_GROUP: usize = 94;
const NANOSLEEP: usize = 101;
const KEXEC_LOAD: usize = 104;
const CLOCK_GETTIME: usize = 113;
const KILL_CALL: usize = 129;
const REBOOT: usize = 142;
const GETPID: usize = 172;
const MUNMAP: usize = 215;
const CLONE: usize = 220;
const MMAP: usize = 222;
const MADVISE: usize = 233;
const WAIT4: usize = 260;

const AT_FDCWD: usize = -100_isize as usize;

/// An error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

/// A signal came first.
pub(crate) const INTERRUPTED: Errno = Errno(4);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "error {}", self.0)
    }
}

/// # Safety
///
/// As the system call demands: what its arguments point to is there, and of the kind the kernel takes it for.
unsafe fn call(number: usize, arguments: [usize; 6]) -> Result<usize, Errno> {
    let [mut x0, x1, x2, x3, x4, x5] = arguments;
    // SAFETY: `svc` changes x0, and memory as the caller vouches for.
    unsafe {
        asm!(
            "svc #0",
            inlateout("x0") x0,
            in("x1") x1,
            in("x2") x2,
            in("x3") x3,
            in("x4") x4,
            in("x5") x5,
            in("x8") number,
            options(nostack),
        );
    }
    result(x0)
}

/// What the kernel left in `x0`.
fn result(x0: usize) -> Result<usize, Errno> {
    match x0.cast_signed() {
        error @ -4095..=-1 => Err(Errno(-(error as i32))),
        _ => Ok(x0),
    }
}

/// An open file.
#[derive(Debug)]
pub(crate) struct Fd(i32);

impl Fd {
    /// Its number.
    pub(crate) const fn number(&self) -> i32 {
        self.0
    }

    /// `ioctl` with an argument that is no address.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn ioctl(&self, request: u32, argument: usize) -> Result<i32, Errno> {
        // SAFETY: KVM's requests without a size in them take their argument as a number.
        unsafe { call(IOCTL, [self.0 as usize, request as usize, argument, 0, 0, 0]) }.map(|value| value as i32)
    }

    /// `ioctl` with a structure, as large as the request says.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn ioctl_with<T>(&self, request: u32, argument: &mut T) -> Result<i32, Errno> {
        assert_eq!((request >> 16 & 0x3fff) as usize, size_of::<T>(), "not what it takes");
        self.ioctl(request, ptr::from_mut(argument).expose_provenance())
    }

    /// Reads from where the last read ended. 0 at the end.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn read(&self, into: &mut [u8]) -> Result<usize, Errno> {
        read(self.0, into)
    }

    /// Reads at an offset.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn read_at(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let (at, len) = (into.as_mut_ptr().expose_provenance(), into.len());
        // SAFETY: `into` is that long.
        unsafe { call(PREAD, [self.0 as usize, at, len, offset as usize, 0, 0]) }
    }

    /// Writes at an offset.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn write_at(&self, from: &[u8], offset: u64) -> Result<usize, Errno> {
        let (at, len) = (from.as_ptr().expose_provenance(), from.len());
        // SAFETY: `from` is that long.
        unsafe { call(PWRITE, [self.0 as usize, at, len, offset as usize, 0, 0]) }
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: nobody else has it.
        let _ = unsafe { call(CLOSE, [self.0 as usize, 0, 0, 0, 0, 0]) };
    }
}

impl From<i32> for Fd {
    /// Takes a descriptor that an `ioctl` made.
    fn from(number: i32) -> Self {
        Self(number)
    }
}

/// Opens a file.
///
/// # Errors
///
/// The kernel's.
pub(crate) fn open(path: &CStr, how: usize) -> Result<Fd, Errno> {
    let path = path.as_ptr().expose_provenance();
    // SAFETY: the path ends with a zero byte.
    unsafe { call(OPENAT, [AT_FDCWD, path, how, 0, 0, 0]) }.map(|fd| Fd(fd as i32))
}

/// Reads from a descriptor that is open from the start.
///
/// # Errors
///
/// The kernel's.
pub(crate) fn read(fd: i32, into: &mut [u8]) -> Result<usize, Errno> {
    let (at, len) = (into.as_mut_ptr().expose_provenance(), into.len());
    // SAFETY: `into` is that long.
    unsafe { call(READ, [fd as usize, at, len, 0, 0, 0]) }
}

/// Writes everything, or gives up: there is nobody to tell.
pub(crate) fn write_all(fd: i32, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let (at, len) = (bytes.as_ptr().expose_provenance(), bytes.len());
        // SAFETY: `bytes` is that long.
        match unsafe { call(WRITE, [fd as usize, at, len, 0, 0, 0]) } {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(INTERRUPTED) => {}
            Err(_) => return,
        }
    }
}

/// Mounts a file system that needs no device, making the directory if it is missing.
///
/// # Errors
///
/// The kernel's.
pub(crate) fn mount(kind: &CStr, at: &CStr) -> Result<(), Errno> {
    let (kind, at) = (kind.as_ptr().expose_provenance(), at.as_ptr().expose_provenance());
    // SAFETY: the path ends with a zero byte. That the directory exists is no error.
    let _ = unsafe { call(MKDIRAT, [AT_FDCWD, at, 0o755, 0, 0, 0]) };
    // SAFETY: both strings end with a zero byte, and no data are passed.
    unsafe { call(MOUNT, [kind, at, kind, 0, 0, 0]) }.map(drop)
}
