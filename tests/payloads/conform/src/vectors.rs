//! Vectors that take down what an exception at EL2 finds, and go on behind it.

use core::arch::{asm, global_asm};
use core::fmt;

use bare::memory::{Frames, put_code};
use bare::sysreg::{TPIDRRO_EL0, VBAR_EL2};

// What a probe has in registers: x11 = bytes to go on behind ELR_EL2. An exception leaves x12 = the state it found itself
// in, x13 = ELR_EL2, x14 = SPSR_EL2, x15 = the vector, x16 = ESR_EL2, x17 = FAR_EL2.
//
// Exceptions from below go where they go otherwise, and leave the state that they find in TPIDRRO_EL0.
global_asm!(
    "    .section .text.vectors, \"ax\"",
    "    .balign 2048",
    "probe_vectors:",
    "    .irp slot, 0, 1, 2, 3, 4, 5, 6, 7",
    "    .balign 128",
    "    mov x15, #\\slot",
    "    b probe_exception",
    "    .endr",
    "    .irp slot, 8, 9, 10, 11, 12, 13, 14, 15",
    "    .balign 128",
    "    stp x0, x1, [sp, #-16]!",
    "    mrs x0, DAIF",
    "    mrs x1, CurrentEL",
    "    orr x0, x0, x1",
    "    mrs x1, SPSel",
    "    orr x0, x0, x1",
    "    mrs x1, S3_0_C4_C2_3",
    "    orr x0, x0, x1",
    "    mrs x1, S3_0_C4_C2_4",
    "    orr x0, x0, x1",
    "    mrs x1, S3_3_C4_C2_5",
    "    orr x0, x0, x1",
    "    mrs x1, S3_3_C4_C2_6", // SSBS
    "    orr x0, x0, x1",
    "    msr TPIDRRO_EL0, x0",
    "    ldp x0, x1, [sp], #16",
    "    b exception_vectors + 128 * \\slot",
    "    .endr",
    "    .balign 128",
    "probe_exception:",
    "    mrs x12, DAIF",
    "    mrs x16, CurrentEL",
    "    orr x12, x12, x16",
    "    mrs x16, SPSel",
    "    orr x12, x12, x16",
    "    mrs x16, S3_0_C4_C2_3", // PAN
    "    orr x12, x12, x16",
    "    mrs x16, S3_0_C4_C2_4", // UAO
    "    orr x12, x12, x16",
    "    mrs x16, S3_3_C4_C2_5", // DIT
    "    orr x12, x12, x16",
    "    mrs x16, S3_3_C4_C2_6", // SSBS
    "    orr x12, x12, x16",
    "    mrs x13, elr_el2",
    "    mrs x14, spsr_el2",
    "    mrs x17, far_el2",
    "    add x16, x13, x11",
    "    msr elr_el2, x16",
    "    mov x16, #(1 << 20)", // not once more in an illegal state
    "    bic x16, x14, x16",
    "    msr spsr_el2, x16",
    "    mrs x16, esr_el2",
    "    eret",
);

unsafe extern "C" {
    static probe_vectors: u8;
}

/// `RET`
const RET: u32 = 0xd65f_03c0;
/// No exception: not a value of `ESR_EL2`, whose upper bits are RES0 for what is tried here.
const NONE: u64 = u64::MAX;

/// An exception at EL2, as its handler found things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Which of the first eight vectors.
    pub(crate) vector: u64,
    /// `ESR_EL2`
    pub(crate) esr: u64,
    /// `FAR_EL2`
    pub(crate) far: u64,
    /// `ELR_EL2`, from the instruction on.
    pub(crate) elr: u64,
    /// `SPSR_EL2`
    pub(crate) spsr: u64,
    /// The processor state in the handler.
    pub(crate) state: u64,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "vector {} esr {:#x} elr +{:#x} spsr {:#x} state {:#x}",
            self.vector, self.esr, self.elr, self.spsr, self.state
        )
    }
}

/// A page of code at EL2.
#[derive(Debug)]
pub(crate) struct El2Code(u64);

impl El2Code {
    pub(crate) fn new(frames: &mut Frames) -> Self {
        Self(frames.page())
    }

    /// Executes `instructions`, at most three, with `x0`. Returns `x0` after them, and the exception, behind whose
    /// `ELR_EL2` it goes on by `skip` bytes.
    pub(crate) fn execute(&self, instructions: &[u32], x0: u64, skip: u64) -> (u64, Option<Taken>) {
        let mut words = [RET; 4];
        words[..instructions.len()].copy_from_slice(instructions);
        put_code(self.0, &words);
        let usual = VBAR_EL2.get();
        VBAR_EL2.set((&raw const probe_vectors) as u64);
        let (value, state, elr, spsr, vector, esr, far): (u64, u64, u64, u64, u64, u64, u64);
        // SAFETY: the instructions are such that a caller has chosen for leaving memory, stack and the registers of this
        // program alone; an exception comes back behind it.
        unsafe {
            asm!(
                "blr {code}",
                code = in(reg) self.0,
                inout("x0") x0 => value,
                in("x11") skip,
                out("x12") state,
                out("x13") elr,
                out("x14") spsr,
                out("x15") vector,
                inout("x16") NONE => esr,
                out("x17") far,
                out("x30") _,
            );
        }
        VBAR_EL2.set(usual);
        let taken = Taken {
            vector,
            esr,
            far,
            elr: elr.wrapping_sub(self.0),
            spsr,
            state,
        };
        (value, (esr != NONE).then_some(taken))
    }
}

/// The processor state in the handler of an exception from below that `exit` ends with.
pub(crate) fn state_of_entry(exit: impl FnOnce()) -> u64 {
    let usual = VBAR_EL2.get();
    VBAR_EL2.set((&raw const probe_vectors) as u64);
    exit();
    VBAR_EL2.set(usual);
    TPIDRRO_EL0.get()
}

macro_rules! authenticated_return {
    ($(#[$doc:meta])* $name:ident, $sign:literal, $eret:literal) => {
        $(#[$doc])*
        pub(crate) fn $name(flip: u64) -> u64 {
            let usual = VBAR_EL2.get();
            VBAR_EL2.set((&raw const probe_vectors) as u64);
            let esr;
            // SAFETY: goes on behind the ERET in the state it was in, by itself or from the vectors.
            unsafe {
                asm!(
                    ".arch_extension pauth",
                    "adr x10, 1f",
                    "mov x9, sp",
                    $sign,
                    "eor x10, x10, {flip}",
                    "msr elr_el2, x10",
                    "mov x10, #0x3c9",
                    "msr spsr_el2, x10",
                    "mov x11, #4",
                    "mov x16, #-1",
                    $eret,
                    "1: nop",
                    flip = in(reg) flip,
                    out("x9") _, out("x10") _, out("x11") _, out("x12") _, out("x13") _, out("x14") _, out("x15") _,
                    out("x16") esr, out("x17") _,
                );
            }
            VBAR_EL2.set(usual);
            esr
        }
    };
}

authenticated_return! {
    /// `ERETAA` to the next instruction, its signature exclusive-ored with `flip`. Returns `ESR_EL2` of the exception, all
    /// ones for none.
    eret_a, "pacia x10, x9", "eretaa"
}
authenticated_return! {
    /// As [`eret_a`], with `ERETAB`.
    eret_b, "pacib x10, x9", "eretab"
}
