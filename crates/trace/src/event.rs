//! The events.

mod text;
mod words;

use syndrome::SysReg;

pub(crate) use words::WORDS;

/// How deep the code runs or ran: L1 at virtual EL2, or what it runs below that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// L1.
    L1,
    /// Its guest.
    L2,
}

impl Depth {
    /// As it prints.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::L1 => "L1",
            Self::L2 => "L2",
        }
    }

    const ALL: [Self; 2] = [Self::L1, Self::L2];
}

/// What kind of exception virtual EL2 took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExceptionKind {
    /// Synchronous.
    Sync,
    /// IRQ.
    Irq,
    /// FIQ.
    Fiq,
    /// SError.
    SError,
}

impl ExceptionKind {
    const ALL: [Self; 4] = [Self::Sync, Self::Irq, Self::Fiq, Self::SError];

    /// KVM's name.
    const fn name(self) -> &'static str {
        match self {
            Self::Sync => "SYNC",
            Self::Irq => "IRQ",
            Self::Fiq => "FIQ",
            Self::SError => "SERROR",
        }
    }
}

/// How a fault on a shadow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultOutcome {
    /// L0 mapped it, or it was mapped meanwhile.
    Handled,
    /// L1's tables say no: L1 has it.
    Injected,
    /// It leads to where L1 has no memory: a device of L0's, or nothing.
    NotMemory,
}

impl FaultOutcome {
    const ALL: [Self; 3] = [Self::Handled, Self::Injected, Self::NotMemory];

    /// As it prints.
    const fn name(self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::Injected => "to L1",
            Self::NotMemory => "no memory",
        }
    }
}

/// Something that happened on a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// `kvm_exit`: a guest was left by a synchronous exception.
    Exit {
        /// `ESR_EL2`
        esr: u64,
        /// The guest's program counter.
        pc: u64,
        /// Whose.
        from: Depth,
    },
    /// `kvm_exit`: a guest was left by an interrupt.
    Interrupt {
        /// The guest's program counter.
        pc: u64,
        /// Whose.
        from: Depth,
    },
    /// `kvm_entry`: a guest goes on.
    Entry {
        /// Where.
        pc: u64,
        /// Which.
        to: Depth,
    },
    /// `kvm_guest_fault`: a stage-2 abort.
    GuestFault {
        /// The address that faulted: an L2 IPA, or an L1 IPA.
        ipa: u64,
        /// `ESR_EL2`
        esr: u64,
        /// `FAR_EL2`
        far: u64,
        /// The guest's program counter.
        pc: u64,
    },
    /// `gnomon_shadow_fault`: what came of a fault of L1's guest.
    ShadowFault {
        /// The L2 IPA.
        ipa: u64,
        /// The shadow's number.
        shadow: u16,
        /// What came of it.
        outcome: FaultOutcome,
    },
    /// `kvm_nested_eret`: L1 enters its guest.
    NestedEret {
        /// L1's `ELR_EL2`
        elr: u64,
        /// L1's `SPSR_EL2`
        spsr: u64,
        /// L1's `HCR_EL2`
        hcr: u64,
    },
    /// `gnomon_illegal_eret`: L1's `SPSR_EL2` names a state that cannot be returned to.
    IllegalEret {
        /// L1's `ELR_EL2`
        elr: u64,
        /// L1's `SPSR_EL2`
        spsr: u64,
        /// L1's `HCR_EL2`
        hcr: u64,
    },
    /// `gnomon_vncr_fault`: a register of L1's guest that is in memory could not be reached.
    VncrFault {
        /// `FAR_EL2`: where L1 has the register.
        far: u64,
        /// `ESR_EL2`, with the status that L1's tables give.
        esr: u64,
        /// Where its tables lead to in its memory.
        at: u64,
        /// Whether L1 is told; otherwise it can be reached now.
        is_told: bool,
    },
    /// `kvm_inject_nested_exception`: L1 takes an exception of its guest.
    InjectNested {
        /// What kind.
        kind: ExceptionKind,
        /// L1's `ESR_EL2`; 0 for an interrupt.
        esr: u64,
        /// L1's `ELR_EL2`
        elr: u64,
        /// L1's `SPSR_EL2`
        spsr: u64,
        /// L1's `HCR_EL2`
        hcr: u64,
    },
    /// `kvm_forward_sysreg_trap`: an access of L1's guest that L1 traps.
    ForwardSysreg {
        /// The register or instruction.
        reg: SysReg,
        /// Whether it is read.
        is_read: bool,
        /// The guest's program counter.
        pc: u64,
    },
    /// `kvm_sys_access`: a trapped access that L0 carries out.
    SysAccess {
        /// The register or instruction.
        reg: SysReg,
        /// Whether it is written.
        is_write: bool,
        /// The guest's program counter.
        pc: u64,
    },
    /// `gnomon_tlbi`: L1 invalidates translations of its guest.
    Tlbi {
        /// The instruction.
        reg: SysReg,
        /// Its operand.
        operand: u64,
        /// The VMID that it speaks of.
        vmid: u16,
    },
    /// `gnomon_shadow_switch`: L1's guest is about to run on a shadow.
    ShadowSwitch {
        /// The shadow's number.
        shadow: u16,
        /// L1's `VTTBR_EL2`
        vttbr: u64,
        /// L1's `VTCR_EL2`
        vtcr: u64,
    },
    /// `gnomon_irq`: a physical interrupt is taken.
    Irq {
        /// Its INTID.
        intid: u32,
        /// Who ran.
        during: Depth,
    },
    /// `kvm_timer_update_irq`: the line of a timer that is not in the hardware at the moment changes.
    TimerIrq {
        /// The vCPU.
        vcpu: u16,
        /// The timer's INTID.
        intid: u16,
        /// Whether the line is high now.
        level: bool,
    },
}

impl Event {
    /// All names.
    pub const NAMES: [&'static str; 14] = [
        "kvm_exit",
        "kvm_entry",
        "kvm_guest_fault",
        "kvm_nested_eret",
        "kvm_inject_nested_exception",
        "kvm_forward_sysreg_trap",
        "kvm_sys_access",
        "kvm_timer_update_irq",
        "gnomon_shadow_fault",
        "gnomon_shadow_switch",
        "gnomon_illegal_eret",
        "gnomon_vncr_fault",
        "gnomon_tlbi",
        "gnomon_irq",
    ];

    /// The name, in the manner of the kernel's trace events.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Exit { .. } | Self::Interrupt { .. } => "kvm_exit",
            Self::Entry { .. } => "kvm_entry",
            Self::GuestFault { .. } => "kvm_guest_fault",
            Self::ShadowFault { .. } => "gnomon_shadow_fault",
            Self::NestedEret { .. } => "kvm_nested_eret",
            Self::IllegalEret { .. } => "gnomon_illegal_eret",
            Self::VncrFault { .. } => "gnomon_vncr_fault",
            Self::InjectNested { .. } => "kvm_inject_nested_exception",
            Self::ForwardSysreg { .. } => "kvm_forward_sysreg_trap",
            Self::SysAccess { .. } => "kvm_sys_access",
            Self::Tlbi { .. } => "gnomon_tlbi",
            Self::ShadowSwitch { .. } => "gnomon_shadow_switch",
            Self::Irq { .. } => "gnomon_irq",
            Self::TimerIrq { .. } => "kvm_timer_update_irq",
        }
    }

    /// Who left or is entered, for exits and entries.
    #[must_use]
    pub const fn depth(&self) -> Option<Depth> {
        match *self {
            Self::Exit { from, .. } | Self::Interrupt { from, .. } => Some(from),
            Self::Entry { to, .. } => Some(to),
            _ => None,
        }
    }
}
