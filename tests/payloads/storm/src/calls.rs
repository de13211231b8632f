//! PSCI, call by call: what makes no sense is refused by the error that DEN0022 has for it.

use bare::l2::Program;
use bare::println;
use bare::psci::{self, AFFINITY_INFO, CPU_ON, CPU_SUSPEND, SYSTEM_RESET2};
use bare::sysreg::{CNTHP_CTL_EL2, CNTP_CTL_EL02, CNTV_CTL_EL02, ICH_HCR_EL2, ICH_LR0_EL2, ICH_VMCR_EL2};

use crate::rng::numbers_of;
use crate::start::expect;
use crate::vms;

const PSCI_FEATURES: u64 = 0x8400_000a;
const SYSTEM_SUSPEND: u64 = 0xc400_000e;
const NOT_SUPPORTED: i64 = -1;
const INVALID_PARAMETERS: i64 = -2;
const ALREADY_ON: i64 = -4;
const INVALID_ADDRESS: i64 = -9;

/// Where no memory of L1's is: a device, gnomon, behind all RAM.
const NO_MEMORY: [u64; 4] = [0, 0x0900_0000, 0x4020_0000, 1 << 44];

pub(crate) fn run(cpu_count: u64) {
    let entry = psci::secondary();
    let refused = [
        (
            "a CPU that is not there",
            CPU_ON,
            [cpu_count, entry, 0],
            INVALID_PARAMETERS,
        ),
        (
            "a bit that is no affinity",
            CPU_ON,
            [1 << 31, entry, 0],
            INVALID_PARAMETERS,
        ),
        ("the caller", CPU_ON, [0, entry, 0], ALREADY_ON),
        (
            "an entry between instructions",
            CPU_ON,
            [1, entry + 2, 0],
            INVALID_ADDRESS,
        ),
        (
            "affinity of a CPU that is not there",
            AFFINITY_INFO,
            [99, 0, 0],
            INVALID_PARAMETERS,
        ),
        ("affinity of a cluster", AFFINITY_INFO, [0, 1, 0], INVALID_PARAMETERS),
        (
            "a power state's reserved bit",
            CPU_SUSPEND,
            [1 << 30, entry, 0],
            INVALID_PARAMETERS,
        ),
        (
            "an architectural reset type",
            SYSTEM_RESET2,
            [1, 0, 0],
            INVALID_PARAMETERS,
        ),
        (
            "a vendor's reset type",
            SYSTEM_RESET2,
            [1 << 31, 0, 0],
            INVALID_PARAMETERS,
        ),
        ("SYSTEM_SUSPEND", SYSTEM_SUSPEND, [entry, 0, 0], NOT_SUPPORTED),
        (
            "features of SYSTEM_SUSPEND",
            PSCI_FEATURES,
            [SYSTEM_SUSPEND, 0, 0],
            NOT_SUPPORTED,
        ),
        ("features of SYSTEM_RESET2", PSCI_FEATURES, [SYSTEM_RESET2, 0, 0], 0),
        ("affinity of the caller", AFFINITY_INFO, [0, 0, 0], 0),
        ("affinity of a CPU that is off", AFFINITY_INFO, [1, 0, 0], 1),
    ];
    for (what, function, arguments, answer) in refused {
        expect(what, psci::call(function, arguments), answer);
    }
    for nowhere in NO_MEMORY {
        let answer = psci::call(CPU_ON, [1, nowhere, 0]);
        expect("an entry that is no memory", answer, INVALID_ADDRESS);
    }
    from_l2(entry);
    println!("P CALLS");
}

/// L1 does not trap SMC, so L2's calls are answered by whom L1's are.
fn from_l2(entry: u64) {
    let mut l2 = vms::make(0, &mut numbers_of(1, 0));
    let mut call = |what, x: [u64; 4], answer| {
        let exit = vms::run(&mut l2, Program::Smc, &x);
        expect(what, exit.hvc().map_or(-1, |hvc| hvc.cast_signed()), 0);
        expect(what, l2.x[0].cast_signed(), answer);
    };
    call("affinity, asked by L2", [AFFINITY_INFO, 1, 0, 0], 1);
    call("a wrong entry, by L2", [CPU_ON, 1, entry + 1, 1], INVALID_ADDRESS);
    // An interrupt that waits for L2 ends a standby at once; nothing else would, for no timer runs.
    CNTHP_CTL_EL2.set(0);
    CNTP_CTL_EL02.set(0);
    CNTV_CTL_EL02.set(0);
    ICH_VMCR_EL2.set(0xff << 24 | 1 << 1);
    ICH_LR0_EL2.set(1 << 62 | 1 << 60 | 0x80 << 48 | 40);
    ICH_HCR_EL2.set(1);
    call("CPU_SUSPEND, by L2", [CPU_SUSPEND, 0, entry, 0], 0);
    ICH_HCR_EL2.set(0);
}
