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
//! | [`Routine::Spin`] | | | | never comes back |
//!
//! Others count what one operation costs, by the counter: two reads of it with the operation between them, less one tick
//! for the read that lies between. They store twice to the mailbox: the least number, then the sum of all.
//!
//! | routine | x1 | x2 | x3 | what is counted |
//! |---|---|---|---|---|
//! | [`Routine::CountHypercall`] | | count | | asking KVM for its PSCI version |
//! | [`Routine::CountIdRegister`] | | count | | reading an ID register, which traps |
//! | [`Routine::CountPoll`] | address | count | | loading the same word |
//! | [`Routine::CountWrite`] | start | end | step | storing the address itself there, every step bytes |
//! | [`Routine::CountSgi`] | | count | | an SGI to itself, until its handler's first instruction |
//! | [`Routine::CountTimer`] | | count | ticks | its timer, so many ticks from now, from the deadline to the handler |
//! | [`Routine::CountWait`] | | count | ticks | the same, with a WFI meanwhile |

use core::arch::global_asm;
use core::slice;

/// Where the code is, in each guest.
pub(crate) const CODE_IPA: u64 = 0x1000_0000;

/// No memory is ever there.
pub(crate) const MAILBOX_IPA: u64 = 0x0a00_0000;

/// Where the guest's interrupt controller is, if it has one.
pub(crate) const GICD_IPA: u64 = 0x0800_0000;
pub(crate) const GICR_IPA: u64 = 0x080a_0000;

/// `ret`: what [`Routine::Call`] finds at its goals.
pub(crate) const RET: u64 = 0xd65f_03c0;

global_asm!(include_str!("guest.S"), gicd = const GICD_IPA, gicr = const GICR_IPA);

unsafe extern "C" {
    static guest_begin: u8;
    static guest_next: u8;
    static guest_read: u8;
    static guest_write: u8;
    static guest_call: u8;
    static guest_hypercall: u8;
    static guest_spin: u8;
    static guest_count_hypercall: u8;
    static guest_count_id_register: u8;
    static guest_count_load: u8;
    static guest_count_write: u8;
    static guest_count_sgi: u8;
    static guest_count_timer: u8;
    static guest_count_wait: u8;
    static guest_end: u8;
}

/// A loop of the guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Routine {
    Read,
    Write,
    Call,
    Hypercall,
    Spin,
    CountHypercall,
    CountIdRegister,
    CountLoad,
    CountWrite,
    CountSgi,
    CountTimer,
    CountWait,
}

impl Routine {
    /// Where it begins.
    pub(crate) fn ipa(self) -> u64 {
        ipa_of(match self {
            Self::Read => &raw const guest_read,
            Self::Write => &raw const guest_write,
            Self::Call => &raw const guest_call,
            Self::Hypercall => &raw const guest_hypercall,
            Self::Spin => &raw const guest_spin,
            Self::CountHypercall => &raw const guest_count_hypercall,
            Self::CountIdRegister => &raw const guest_count_id_register,
            Self::CountLoad => &raw const guest_count_load,
            Self::CountWrite => &raw const guest_count_write,
            Self::CountSgi => &raw const guest_count_sgi,
            Self::CountTimer => &raw const guest_count_timer,
            Self::CountWait => &raw const guest_count_wait,
        })
    }
}

/// Where a guest begins: at the branch behind the mailbox's store.
pub(crate) fn entry() -> u64 {
    ipa_of(&raw const guest_next)
}

/// The code, at most a page.
pub(crate) fn code() -> &'static [u8] {
    let begin = &raw const guest_begin;
    let bytes = (&raw const guest_end).addr() - begin.addr();
    // SAFETY: both labels bound one piece of read-only data.
    unsafe { slice::from_raw_parts(begin, bytes) }
}

fn ipa_of(label: *const u8) -> u64 {
    CODE_IPA + (label.addr() - (&raw const guest_begin).addr()) as u64
}
