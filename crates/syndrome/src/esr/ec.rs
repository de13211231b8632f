//! Exception classes, under the names KVM's trace events print.

/// Declares the classes: code, constant, printed name.
macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident $text:literal = $code:literal;)*) => {
        $($(#[$doc])* pub const $name: u8 = $code;)*

        /// The name of a class as KVM's `kvm_exit` event prints it, without
        /// `ESR_ELx_EC_`. A code that has none is `RES`.
        #[must_use]
        #[inline(never)]
        pub const fn name(ec: u8) -> &'static str {
            match ec {
                $($code => $text,)*
                _ => "RES",
            }
        }
    };
}

classes! {
    /// Unknown reason: an UNDEFINED instruction.
    UNKNOWN "UNKNOWN" = 0x00;
    /// `WFI`, `WFE`, `WFIT` or `WFET`.
    WFX "WFx" = 0x01;
    /// AArch32 `MCR`/`MRC` to coprocessor 15.
    CP15_32 "CP15_32" = 0x03;
    /// AArch32 `MCRR`/`MRRC` to coprocessor 15.
    CP15_64 "CP15_64" = 0x04;
    /// AArch32 `MCR`/`MRC` to coprocessor 14.
    CP14_MR "CP14_MR" = 0x05;
    /// AArch32 `LDC`/`STC` to coprocessor 14.
    CP14_LS "CP14_LS" = 0x06;
    /// Floating point or Advanced SIMD, by `CPACR_EL1` or `CPTR_ELx`.
    FP_ASIMD "FP_ASIMD" = 0x07;
    /// AArch32 `VMRS`.
    CP10_ID "CP10_ID" = 0x08;
    /// A pointer authentication instruction, by `HCR_EL2.API` = 0.
    PAC "PAC" = 0x09;
    /// Other instructions, 64-byte accesses among them.
    OTHER "OTHER" = 0x0a;
    /// AArch32 `MRRC` to coprocessor 14.
    CP14_64 "CP14_64" = 0x0c;
    /// Branch target exception.
    BTI "BTI" = 0x0d;
    /// Illegal execution state.
    ILL "ILL" = 0x0e;
    /// AArch32 `SVC`.
    SVC32 "SVC32" = 0x11;
    /// AArch32 `HVC`.
    HVC32 "HVC32" = 0x12;
    /// AArch32 `SMC`.
    SMC32 "SMC32" = 0x13;
    /// 128-bit system instruction or register.
    SYS128 "SYS128" = 0x14;
    /// `SVC`.
    SVC64 "SVC64" = 0x15;
    /// `HVC`.
    HVC64 "HVC64" = 0x16;
    /// `SMC`.
    SMC64 "SMC64" = 0x17;
    /// `MSR`, `MRS` or a system instruction.
    SYS64 "SYS64" = 0x18;
    /// SVE, by `CPACR_EL1.ZEN` or `CPTR_ELx`.
    SVE "SVE" = 0x19;
    /// `ERET`, `ERETAA` or `ERETAB`.
    ERET "ERET" = 0x1a;
    /// Failed pointer authentication (FEAT_FPAC).
    FPAC "FPAC" = 0x1c;
    /// SME, by `CPACR_EL1.SMEN` or `CPTR_ELx`.
    SME "SME" = 0x1d;
    /// IMPLEMENTATION DEFINED exception to EL3.
    IMP_DEF "IMP_DEF" = 0x1f;
    /// Instruction abort of a lower level.
    IABT_LOW "IABT_LOW" = 0x20;
    /// Instruction abort of the level itself.
    IABT_CUR "IABT_CUR" = 0x21;
    /// Misaligned PC.
    PC_ALIGN "PC_ALIGN" = 0x22;
    /// Data abort of a lower level.
    DABT_LOW "DABT_LOW" = 0x24;
    /// Data abort of the level itself, or of a redirected EL2 register
    /// ([`is_vncr`](super::Esr::is_vncr)).
    DABT_CUR "DABT_CUR" = 0x25;
    /// Misaligned SP.
    SP_ALIGN "SP_ALIGN" = 0x26;
    /// Memory copy and set instruction in a wrong state (FEAT_MOPS).
    MOPS "MOPS" = 0x27;
    /// AArch32 floating point exception.
    FP_EXC32 "FP_EXC32" = 0x28;
    /// Floating point exception.
    FP_EXC64 "FP_EXC64" = 0x2c;
    /// Guarded control stack exception.
    GCS "GCS" = 0x2d;
    /// SError.
    SERROR "SERROR" = 0x2f;
    /// Breakpoint of a lower level.
    BREAKPT_LOW "BREAKPT_LOW" = 0x30;
    /// Breakpoint of the level itself.
    BREAKPT_CUR "BREAKPT_CUR" = 0x31;
    /// Software step of a lower level.
    SOFTSTP_LOW "SOFTSTP_LOW" = 0x32;
    /// Software step of the level itself.
    SOFTSTP_CUR "SOFTSTP_CUR" = 0x33;
    /// Watchpoint of a lower level.
    WATCHPT_LOW "WATCHPT_LOW" = 0x34;
    /// Watchpoint of the level itself.
    WATCHPT_CUR "WATCHPT_CUR" = 0x35;
    /// AArch32 `BKPT`.
    BKPT32 "BKPT32" = 0x38;
    /// AArch32 vector catch.
    VECTOR32 "VECTOR32" = 0x3a;
    /// `BRK`.
    BRK64 "BRK64" = 0x3c;
}

/// Whether the class is a debug exception, which `MDCR_EL2.TDE` routes to EL2.
#[must_use]
pub const fn is_debug(ec: u8) -> bool {
    matches!(
        ec,
        BREAKPT_LOW | BREAKPT_CUR | SOFTSTP_LOW | SOFTSTP_CUR | WATCHPT_LOW | WATCHPT_CUR | BKPT32 | VECTOR32 | BRK64
    )
}

/// Whether the class is an instruction or data abort.
#[must_use]
pub const fn is_abort(ec: u8) -> bool {
    matches!(ec, IABT_LOW | IABT_CUR | DABT_LOW | DABT_CUR)
}
