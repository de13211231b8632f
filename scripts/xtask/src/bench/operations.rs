//! What is counted, what it may cost, and what it costs under Linux's own KVM.

use std::fmt;

/// What counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The guest hypervisor `tests/payloads/bench`, without an operating system.
    Bare,
    /// The small VMM `tests/payloads/vmm` as the only program of a Linux.
    Linux,
    /// The same program of a Linux that the small VMM runs as its guest.
    Guest,
}

impl Program {
    /// All, in the order in which they are run.
    pub const ALL: [Self; 3] = [Self::Bare, Self::Linux, Self::Guest];
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bare => "bare",
            Self::Linux => "linux",
            Self::Guest => "guest",
        })
    }
}

/// Something that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// As the program calls it.
    pub name: &'static str,
    /// For people.
    pub description: &'static str,
    /// Who counts it.
    pub program: Program,
    /// The most instructions it may take under gnomon on average, where that is laid down.
    pub budget: Option<u64>,
    /// The most it may take under gnomon, in hundredths of what it takes natively, where that is laid down instead.
    pub budget_percent: Option<u64>,
    /// Whether the program marks where it begins and ends, so that gnomon's entries from a lower level can be counted.
    pub is_marked: bool,
    /// The most of them that it may take on average, where that is laid down.
    pub entries_max: Option<u64>,
    /// The operation of which this is one with more around it: it is to cost the same.
    pub like: Option<&'static str>,
    /// Instructions under Linux 7.2's KVM as L0 on the same QEMU, from and to, where that is known.
    pub kvm: Option<(u64, u64)>,
}

impl Operation {
    /// Whether name or description contain `text`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.name.contains(text) || self.description.contains(text)
    }

    const fn bare(name: &'static str, description: &'static str) -> Self {
        Self::new(Program::Bare, name, description)
    }

    const fn linux(name: &'static str, description: &'static str) -> Self {
        Self::new(Program::Linux, name, description)
    }

    const fn guest(name: &'static str, description: &'static str) -> Self {
        Self::new(Program::Guest, name, description)
    }

    const fn new(program: Program, name: &'static str, description: &'static str) -> Self {
        Self {
            name,
            description,
            program,
            budget: None,
            budget_percent: None,
            is_marked: false,
            entries_max: None,
            like: None,
            kvm: None,
        }
    }

    const fn budget(self, instructions: u64) -> Self {
        Self {
            budget: Some(instructions),
            ..self
        }
    }

    const fn marked(self) -> Self {
        Self {
            is_marked: true,
            ..self
        }
    }

    const fn entries(self, entries: u64) -> Self {
        Self {
            entries_max: Some(entries),
            ..self.marked()
        }
    }

    const fn budget_percent(self, percent: u64) -> Self {
        Self {
            budget_percent: Some(percent),
            ..self
        }
    }

    const fn like(self, name: &'static str) -> Self {
        Self {
            like: Some(name),
            ..self
        }
    }

    const fn kvm(self, from: u64, to: u64) -> Self {
        Self {
            kvm: Some((from, to)),
            ..self
        }
    }
}

/// All of them, as reports have them.
pub const OPERATIONS: [Operation; 41] = [
    Operation::bare("reset", "reset to L1's main").budget(10_000_000),
    Operation::bare("smc", "SMC, PSCI_VERSION"),
    Operation::bare("hvc-self", "HVC at vEL2, to itself and back"),
    Operation::bare("eret-vel2", "ERET vEL2 to vEL2")
        .budget(100)
        .kvm(392, 392),
    Operation::bare("register-read", "trapped EL2 register, read")
        .budget(250)
        .kvm(3_600, 4_300),
    Operation::bare("register-write", "trapped EL2 register, written")
        .budget(250)
        .kvm(3_600, 4_300),
    Operation::bare("tlbi-stage1", "stage-1 TLBI at vEL2")
        .budget(200)
        .kvm(4_000, 4_000),
    Operation::bare("l2-hvc", "HVC L2 to L1, ERET at once")
        .budget(800)
        .kvm(23_800, 23_800),
    Operation::bare("shadow-miss", "L2 load, shadow miss only")
        .budget(600)
        .kvm(7_900, 7_900),
    Operation::bare("tlbi-ipa", "TLBI IPAS2E1IS of a live page"),
    Operation::bare("tlbi-vm-1", "TLBI VMALLS12E1IS, 1 live page")
        .budget(5_000)
        .kvm(135_000_000, 2_100_000_000),
    Operation::bare("tlbi-vm-100", "TLBI VMALLS12E1IS, 100 live pages"),
    Operation::bare("tlbi-vm-10000", "TLBI VMALLS12E1IS, 10 000 live pages"),
    Operation::bare("at", "AT S1E1R in L2's regime, stage 1 off"),
    Operation::bare("l2-hvc-10000-pages", "HVC L2 to L1, 10 000 pages mapped").like("l2-hvc"),
    Operation::bare("l2-hvc-16-vms", "HVC L2 to L1, 16 VMs alive").like("l2-hvc"),
    Operation::bare("l2-hvc-64-vms", "HVC L2 to L1, 64 VMs alive").like("l2-hvc"),
    Operation::bare("shadow-miss-10000-pages", "L2 load, shadow miss, 10 000 pages mapped").like("shadow-miss"),
    Operation::bare("shadow-miss-16-vms", "L2 load, shadow miss, 16 VMs alive").like("shadow-miss"),
    Operation::bare("shadow-miss-64-vms", "L2 load, shadow miss, 64 VMs alive").like("shadow-miss"),
    Operation::bare("tlbi-ipa-10000-pages", "TLBI IPAS2E1IS, 10 000 pages mapped").like("tlbi-ipa"),
    Operation::bare("tlbi-vm-1-16-vms", "TLBI VMALLS12E1IS, 1 live page, 16 VMs").like("tlbi-vm-1"),
    Operation::bare("tlbi-vm-1-64-vms", "TLBI VMALLS12E1IS, 1 live page, 64 VMs").like("tlbi-vm-1"),
    Operation::bare("vm-turn-1", "an L2's turn, until its HVC, of 1 VM"),
    Operation::bare("vm-turn-16", "an L2's turn, until its HVC, of 16 VMs"),
    Operation::bare("vm-turn-64", "an L2's turn, until its HVC, of 64 VMs").like("vm-turn-16"),
    Operation::linux("hvc", "L2 HVC, answered by KVM")
        .budget(3_000)
        .entries(6)
        .kvm(50_900, 54_400),
    Operation::linux("id-register", "L2 trapped ID register")
        .budget(3_500)
        .marked()
        .kvm(52_000, 55_400),
    Operation::linux("mmio-kernel", "L2 load, L1's in-kernel GICD")
        .budget(4_200)
        .marked()
        .kvm(61_800, 61_800),
    Operation::linux("mmio-vmm", "L2 load, userspace VMM")
        .budget(12_000)
        .marked()
        .kvm(158_800, 158_800),
    Operation::linux("touch-page", "L2 first touch of 4K, L1 must fill")
        .budget(11_000)
        .marked()
        .kvm(76_200, 76_200),
    Operation::linux("touch-block", "L2 first touch of 2M, L1 must map").marked(),
    Operation::linux("write-protect", "L2 store to a page whose writes are logged").marked(),
    Operation::linux("sgi", "L2 SGI to self, to the handler")
        .budget(5_500)
        .marked()
        .kvm(58_900, 63_000),
    Operation::linux("timer", "L2 timer, deadline to handler")
        .budget(6_000)
        .marked()
        .kvm(68_100, 72_100),
    Operation::linux("wfi-short", "the same in WFI, 20 000 ticks").marked(),
    Operation::linux("wfi-long", "the same in WFI, 5 000 000 ticks").marked(),
    Operation::linux("vm-2", "a second VM made, until its first HVC"),
    Operation::linux("vm-10", "a tenth VM made, until its first HVC"),
    Operation::linux("boot", "L1 Linux, reset to userspace")
        .budget(1_050_000_000)
        .kvm(2_065_000_000, 2_065_000_000),
    Operation::guest("l2-boot", "L2 Linux, its VM made to userspace").budget_percent(103),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_name_stands_for_one_operation() {
        let names: BTreeSet<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
        assert_eq!(names.len(), OPERATIONS.len());
    }

    #[test]
    fn what_is_alike_is_counted_by_the_same_program() {
        for operation in OPERATIONS {
            if let Some(name) = operation.like {
                let other = OPERATIONS.iter().find(|other| other.name == name).unwrap();
                assert_eq!(other.program, operation.program, "{}", operation.name);
            }
        }
    }

    #[test]
    fn where_entries_are_bounded_they_are_counted() {
        assert!(OPERATIONS.iter().all(|one| one.is_marked || one.entries_max.is_none()));
    }

    #[test]
    fn name_and_description_are_both_looked_at() {
        let operation = Operation::bare("at", "AT S1E1R");
        assert!(operation.matches("") && operation.matches("at") && operation.matches("S1E1"));
        assert!(!operation.matches("smc"));
    }
}
