//! Instructions.

use bare::memory;

/// `HVC #0`, which ends a strike.
pub(crate) const HVC: u32 = 0xd400_0002;
pub(crate) const ISB: u32 = 0xd503_3fdf;
pub(crate) const ERET: u32 = 0xd69f_03e0;
pub(crate) const WFI: u32 = 0xd503_207f;

/// Most instructions of one strike.
const LEN_MAX: usize = 30;

/// Instructions under construction. What is too much is left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Code {
    words: [u32; LEN_MAX + 2],
    len: usize,
}

impl Code {
    pub(crate) const fn new() -> Self {
        Self {
            words: [HVC; LEN_MAX + 2],
            len: 0,
        }
    }

    pub(crate) fn push(&mut self, word: u32) {
        if self.len < LEN_MAX {
            self.words[self.len] = word;
            self.len += 1;
        }
    }

    /// Puts it, and the HVC that ends it, into the frame at `at`.
    pub(crate) fn put(&self, at: u64) {
        memory::put_code(at, &self.words);
    }
}

/// `MSR reg, xN` of an encoding as `SysReg` has it, or the instruction with `xN`.
pub(crate) fn msr(reg: u16, n: u32) -> u32 {
    0xd500_0000 | u32::from(reg) << 5 | n
}

/// `MRS xN, reg`
pub(crate) fn mrs(reg: u16, n: u32) -> u32 {
    msr(reg, n) | 1 << 21
}

/// Accesses to memory at `x1`, with data in `x2` and `x3`, of every size, with and without a syndrome that describes them.
pub(crate) const ACCESSES: [u32; 30] = [
    0x3940_0022, // LDRB
    0x7940_0022, // LDRH
    0xb940_0022, // LDR w
    0xf940_0022, // LDR x
    0x3900_0022, // STRB
    0x7900_0022, // STRH
    0xb900_0022, // STR w
    0xf900_0022, // STR x
    0xb940_003f, // LDR wzr
    0xb900_003f, // STR wzr
    0x3980_0022, // LDRSB
    0xb980_0022, // LDRSW
    0x2940_0c22, // LDP w
    0x2900_0c22, // STP w
    0xa940_0c22, // LDP x
    0xa900_0c22, // STP x
    0xf840_8422, // LDR x, post-index
    0xf800_8c22, // STR x, pre-index
    0xc85f_7c22, // LDXR
    0xc804_7c22, // STXR
    0xc8df_fc22, // LDAR
    0xc89f_fc22, // STLR
    0xc8a2_7c23, // CAS
    0xf822_0023, // LDADD
    0xf822_8023, // SWP
    0x3dc0_0020, // LDR q
    0x3d80_0020, // STR q
    0xd50b_7421, // DC ZVA
    0xd50b_7e21, // DC CIVAC
    0xf980_0020, // PRFM
];
