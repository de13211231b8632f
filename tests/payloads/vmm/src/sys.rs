//! Linux's system calls, as far as they are needed: numbers and flags of `arm64`.
//!
//! Descriptors and mappings are values that give back what they are when they are dropped.

use core::arch::asm;
use core::ffi::CStr;
use core::fmt;
use core::{ptr, slice};

/// Standard input and output.
pub(crate) const STDIN: i32 = 0;
pub(crate) const STDOUT: i32 = 1;

/// How [`open`] opens.
pub(crate) const READ_ONLY: usize = 0;
pub(crate) const READ_WRITE: usize = 2;
pub(crate) const NON_BLOCKING: usize = 0o4000;

/// Advice for [`Mapping::advise`].
pub(crate) const DONT_NEED: usize = 4;
pub(crate) const HUGE_PAGES: usize = 14;
pub(crate) const NO_HUGE_PAGES: usize = 15;

/// `SIGKILL`.
pub(crate) const KILL: usize = 9;

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
const SIGCHLD: usize = 17;
const PROT_READ_WRITE: usize = 3;
const MAP_SHARED: usize = 1;
const MAP_PRIVATE: usize = 2;
const MAP_ANONYMOUS: usize = 0x20;
const MAP_HUGETLB: usize = 0x4_0000;
const MAP_HUGE_SHIFT: u32 = 26;

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

/// Memory mapped into this process.
#[derive(Debug)]
pub(crate) struct Mapping {
    address: usize,
    bytes: usize,
}

impl Mapping {
    fn map(bytes: usize, flags: usize, fd: i32, offset: u64) -> Result<Self, Errno> {
        let arguments = [0, bytes, PROT_READ_WRITE, flags, fd as usize, offset as usize];
        // SAFETY: the kernel chooses an address that is free.
        let address = unsafe { call(MMAP, arguments) }?;
        Ok(Self { address, bytes })
    }

    /// Memory of this process alone, zero.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn private(bytes: usize) -> Result<Self, Errno> {
        Self::map(bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    }

    /// Memory that processes forked from now on share, zero.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn shared(bytes: usize) -> Result<Self, Errno> {
        Self::map(bytes, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    }

    /// One page of `1 << shift` bytes from the kernel's pool of such pages.
    ///
    /// # Errors
    ///
    /// When the pool has none.
    pub(crate) fn huge(shift: u32) -> Result<Self, Errno> {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (shift as usize) << MAP_HUGE_SHIFT;
        Self::map(1 << shift, flags, -1, 0)
    }

    /// A file, shared.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn file(fd: &Fd, offset: u64, bytes: usize) -> Result<Self, Errno> {
        Self::map(bytes, MAP_SHARED, fd.0, offset)
    }

    /// Where it is.
    pub(crate) const fn address(&self) -> usize {
        self.address
    }

    /// Tells the kernel what to do with a part.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn advise(&self, offset: usize, bytes: usize, advice: usize) -> Result<(), Errno> {
        assert!(offset <= self.bytes && bytes <= self.bytes - offset, "outside");
        // SAFETY: no advice used here makes memory go away; zeroes are as good as what was there.
        unsafe { call(MADVISE, [self.address + offset, bytes, advice, 0, 0, 0]) }.map(drop)
    }

    /// The eight bytes at an offset. Guests change them at any time.
    pub(crate) fn load(&self, offset: usize) -> u64 {
        // SAFETY: in bounds and aligned, as checked.
        unsafe { ptr::read_volatile(self.word(offset)) }
    }

    /// Stores eight bytes.
    pub(crate) fn store(&self, offset: usize, value: u64) {
        // SAFETY: in bounds and aligned, as checked.
        unsafe { ptr::write_volatile(self.word(offset), value) }
    }

    /// The word at an offset, for atomics that processes share.
    pub(crate) fn word(&self, offset: usize) -> *mut u64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.bytes, "outside");
        ptr::with_exposed_provenance_mut(self.address + offset)
    }

    /// Its bytes, for good.
    pub(crate) fn leak(self) -> &'static mut [u8] {
        let at = ptr::with_exposed_provenance_mut(self.address);
        let bytes = self.bytes;
        core::mem::forget(self);
        // SAFETY: nobody else has the mapping, and it is never given back.
        unsafe { slice::from_raw_parts_mut(at, bytes) }
    }

    /// Copies bytes to an offset.
    pub(crate) fn copy_in(&self, offset: usize, bytes: &[u8]) {
        assert!(offset <= self.bytes && bytes.len() <= self.bytes - offset, "outside");
        let to = ptr::with_exposed_provenance_mut::<u8>(self.address + offset);
        // SAFETY: in bounds, and a mapping overlaps with nothing of Rust's.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nobody else has it.
        let _ = unsafe { call(MUNMAP, [self.address, self.bytes, 0, 0, 0, 0]) };
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
    let mut result = THREAD;
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
            inlateout("x0") result,
            in("x1") top,
            in("x2") 0,
            in("x3") 0,
            in("x4") 0,
            in("x8") CLONE,
            options(nostack),
        );
    }
    match result.cast_signed() {
        error @ -4095..=-1 => Err(Errno(-(error as i32))),
        _ => Ok(()),
    }
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

/// Seconds and nanoseconds of a duration or a clock, as the kernel has them.
#[repr(C)]
struct Timespec {
    seconds: u64,
    nanoseconds: u64,
}

impl Timespec {
    const fn of_ms(ms: u64) -> Self {
        Self {
            seconds: ms / 1000,
            nanoseconds: ms % 1000 * 1_000_000,
        }
    }
}

/// Milliseconds of the clock that only goes forward.
pub(crate) fn now_ms() -> u64 {
    const CLOCK_MONOTONIC: usize = 1;
    let mut time = Timespec {
        seconds: 0,
        nanoseconds: 0,
    };
    let at = ptr::from_mut(&mut time).expose_provenance();
    // SAFETY: the time is where the argument says.
    let _ = unsafe { call(CLOCK_GETTIME, [CLOCK_MONOTONIC, at, 0, 0, 0, 0]) };
    time.seconds * 1000 + time.nanoseconds / 1_000_000
}

/// Sleeps.
pub(crate) fn sleep_ms(ms: u64) {
    let time = Timespec::of_ms(ms);
    let at = ptr::from_ref(&time).expose_provenance();
    // SAFETY: the time is where the argument says, and the kernel does not write what remains.
    let _ = unsafe { call(NANOSLEEP, [at, 0, 0, 0, 0, 0]) };
}

/// Waits for something to be typed, but not longer than this. Says whether there is something.
pub(crate) fn is_typed_within(ms: u64) -> bool {
    /// `struct pollfd`, for data to be read.
    #[repr(C)]
    struct PollFd {
        fd: i32,
        events: u16,
        returned: u16,
    }
    const POLLIN: u16 = 1;
    let mut input = PollFd {
        fd: STDIN,
        events: POLLIN,
        returned: 0,
    };
    let time = Timespec::of_ms(ms);
    let time = ptr::from_ref(&time).expose_provenance();
    let at = ptr::from_mut(&mut input).expose_provenance();
    // SAFETY: one descriptor and the time are where the arguments say, and nobody else has them.
    unsafe { call(PPOLL, [at, 1, time, 0, 0, 0]) }.is_ok_and(|count| count > 0)
}

/// Ends this process.
pub(crate) fn exit(status: i32) -> ! {
    loop {
        // SAFETY: does not return.
        let _ = unsafe { call(EXIT_GROUP, [status as usize, 0, 0, 0, 0, 0]) };
    }
}

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
