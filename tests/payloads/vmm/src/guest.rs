//! What the guests run: a few loops at EL1 with the MMU off.
//!
//! A guest has one page of code. It stores to an address without memory, the mailbox, which ends `KVM_RUN`; then it
//! branches to where x5 says, which whoever runs it has set in between, with the loop's arguments:
//!
//! | routine | x1 | x2 | x3 | what it does, and leaves in x0 |
//! |---|---|---|---|---|
//! | [`Routine::Read`] | start | end | step | loads a word every step bytes; their exclusive or |
//! | [`Routine::Write`] | start | end | step | stores the address itself there |
//! | [`Routine::Call`] | start | end | step | calls what is there, which returns |
//! | [`Routine::Hypercall`] | | count | | asks KVM for its PSCI version, over and over |
//! | [`Routine::Mail`] | | count | | stores to the mailbox count times before the last one |
//! | [`Routine::Spin`] | | | | never comes back |

use core::arch::global_asm;
use core::slice;

/// Where the code is, in each guest.
pub(crate) const CODE_IPA: u64 = 0x1000_0000;

/// No memory is ever there.
pub(crate) const MAILBOX_IPA: u64 = 0x0a00_0000;

/// `ret`: what [`Routine::Call`] finds at its goals.
pub(crate) const RET: u64 = 0xd65f_03c0;

global_asm!(
    ".pushsection .rodata.guest, \"a\"",
    ".balign 8",
    "guest_begin:",
    "mailbox:  str x0, [x4]",
    "guest_next: br x5",
    "guest_read:",
    "    mov x0, xzr",
    "1:  ldr x6, [x1]",
    "    eor x0, x0, x6",
    "    add x1, x1, x3",
    "    cmp x1, x2",
    "    b.lo 1b",
    "    b mailbox",
    "guest_write:",
    "    mov x0, xzr",
    "1:  str x1, [x1]",
    "    add x1, x1, x3",
    "    cmp x1, x2",
    "    b.lo 1b",
    "    b mailbox",
    "guest_call:",
    "    mov x0, xzr",
    "1:  blr x1",
    "    add x1, x1, x3",
    "    cmp x1, x2",
    "    b.lo 1b",
    "    b mailbox",
    "guest_hypercall:",
    "    mov x7, x2",
    "1:  mov w0, #0x84000000",
    "    hvc #0",
    "    subs x7, x7, #1",
    "    b.ne 1b",
    "    b mailbox",
    "guest_mail:",
    "    mov x0, xzr",
    "1:  str x0, [x4]",
    "    subs x2, x2, #1",
    "    b.ne 1b",
    "    b mailbox",
    "guest_spin:",
    "    b guest_spin",
    "guest_end:",
    ".popsection",
);

unsafe extern "C" {
    static guest_begin: u8;
    static guest_next: u8;
    static guest_read: u8;
    static guest_write: u8;
    static guest_call: u8;
    static guest_hypercall: u8;
    static guest_mail: u8;
    static guest_spin: u8;
    static guest_end: u8;
}

/// A loop of the guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Routine {
    Read,
    Write,
    Call,
    Hypercall,
    Mail,
    Spin,
}

impl Routine {
    /// Where it begins.
    pub(crate) fn ipa(self) -> u64 {
        ipa_of(match self {
            Self::Read => &raw const guest_read,
            Self::Write => &raw const guest_write,
            Self::Call => &raw const guest_call,
            Self::Hypercall => &raw const guest_hypercall,
            Self::Mail => &raw const guest_mail,
            Self::Spin => &raw const guest_spin,
        })
    }
}

/// Where a guest begins: at the branch behind the mailbox's store.
pub(crate) fn entry() -> u64 {
    ipa_of(&raw const guest_next)
}

/// The code, less than a page.
pub(crate) fn code() -> &'static [u8] {
    let begin = &raw const guest_begin;
    let bytes = (&raw const guest_end).addr() - begin.addr();
    // SAFETY: both labels bound one piece of read-only data.
    unsafe { slice::from_raw_parts(begin, bytes) }
}

fn ipa_of(label: *const u8) -> u64 {
    CODE_IPA + (label.addr() - (&raw const guest_begin).addr()) as u64
}
