//! What a call asks for.

use arm_psci::{EntryPoint, Error, ErrorCode, Function, FunctionId, Mpidr, PsciFeature};

const SMCCC_VERSION: u32 = 0x8000_0000;
const SMCCC_ARCH_FEATURES: u32 = 0x8000_0001;
/// SMCCC 1.1.
const SMCCC_VERSION_1_1: u64 = 0x1_0001;
/// PSCI 1.1.
const PSCI_VERSION_1_1: u64 = 0x1_0001;
/// `MIGRATE_INFO_TYPE`: no trusted OS, so nothing to migrate.
const NO_TRUSTED_OS: u64 = 2;
const SUCCESS: u64 = 0;
/// The affinity fields of `MPIDR_EL1`.
const AFFINITY: u64 = 0xff_00ff_ffff;
/// `CPU_SUSPEND`: `PowerLevel`, `StateType` and `StateID` of the original format; all else must be 0.
const POWER_STATE: u32 = 0x0301_ffff;

/// What is to be done about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing but to return this.
    Return(u64),
    /// Switch a vCPU on, by its number, at `entry` with `argument` in `x0`.
    CpuOn {
        /// Its number.
        cpu: usize,
        /// Where it starts.
        entry: u64,
        /// Its `x0`.
        argument: u64,
    },
    /// Return the power state of the vCPU of this number.
    AffinityInfo(usize),
    /// Switch the caller off.
    CpuOff,
    /// Wait for an interrupt, and return success. Every state is a standby state: nothing is lost.
    Suspend,
    /// Switch the machine off.
    SystemOff,
    /// Restart the machine.
    SystemReset,
    /// The same, and leave L1's memory as it is.
    WarmReset,
}

impl From<ErrorCode> for Action {
    fn from(code: ErrorCode) -> Self {
        Self::Return(error(code))
    }
}

/// An error as it is returned: 32 bits with a sign, extended to 64 (DEN0022, "Return error codes").
#[must_use]
pub fn error(code: ErrorCode) -> u64 {
    i64::from(i32::from(code)).cast_unsigned()
}

/// What the call with `x` in `x0` to `x3` asks for, of a machine whose CPUs have the `MPIDR_EL1` values `cpus`. `is_code`
/// says whether there is memory of L1's for an instruction at an address.
pub fn decide(x: [u64; 4], cpus: &[u64], is_code: fn(u64) -> bool) -> Action {
    match x[0] as u32 {
        SMCCC_VERSION => Action::Return(SMCCC_VERSION_1_1),
        SMCCC_ARCH_FEATURES => arch_features(x[1] as u32),
        _ => match Function::try_from(&x) {
            Ok(Function::CpuSuspend { .. }) if x[1] as u32 & !POWER_STATE != 0 => ErrorCode::InvalidParameters.into(),
            Ok(function) => psci(&function, cpus, is_code),
            Err(reason) => refuse(&x, reason).into(),
        },
    }
}

/// No workaround is offered: what the CPU needs, QEMU does not have.
fn arch_features(function: u32) -> Action {
    match function {
        SMCCC_VERSION | SMCCC_ARCH_FEATURES => Action::Return(SUCCESS),
        _ => ErrorCode::NotSupported.into(),
    }
}

/// Why a call that makes no sense fails: for its arguments only if there is such a function.
fn refuse(x: &[u64; 4], reason: Error) -> ErrorCode {
    match FunctionId::try_from(x[0] as u32) {
        Ok(function) if is_supported(function) => reason.into(),
        _ => ErrorCode::NotSupported,
    }
}

fn psci(function: &Function, cpus: &[u64], is_code: fn(u64) -> bool) -> Action {
    match function {
        Function::Version => Action::Return(PSCI_VERSION_1_1),
        Function::Features { psci_func_id } => features(*psci_func_id),
        Function::MigrateInfoType => Action::Return(NO_TRUSTED_OS),
        Function::CpuOn { target_cpu, entry } => cpu_on(cpus, *target_cpu, entry, is_code),
        Function::CpuOff => Action::CpuOff,
        // Of higher levels nothing need be said (DEN0022, "AFFINITY_INFO").
        Function::AffinityInfo {
            mpidr,
            lowest_affinity_level: 0,
        } => find(cpus, *mpidr).map_or(ErrorCode::InvalidParameters.into(), Action::AffinityInfo),
        Function::AffinityInfo { .. } => ErrorCode::InvalidParameters.into(),
        Function::CpuSuspend { .. } => Action::Suspend,
        Function::SystemOff => Action::SystemOff,
        Function::SystemReset => Action::SystemReset,
        // A vendor's types are there to be chosen by a vendor: there is none, and one that is not known is an invalid
        // parameter.
        Function::SystemReset2 { reset_type, .. } => match reset_type {
            arm_psci::ResetType::Architectural(_) => Action::WarmReset,
            arm_psci::ResetType::VendorSpecific(_) => ErrorCode::InvalidParameters.into(),
        },
        _ => ErrorCode::NotSupported.into(),
    }
}

fn features(feature: PsciFeature) -> Action {
    match feature {
        PsciFeature::PsciFunction(function) if !is_supported(function) => ErrorCode::NotSupported.into(),
        // No flags: the original format of power states.
        _ => Action::Return(SUCCESS),
    }
}

fn is_supported(function: FunctionId) -> bool {
    use FunctionId::*;
    matches!(
        function,
        PsciVersion
            | PsciFeatures
            | CpuOn32
            | CpuOn64
            | CpuOff
            | CpuSuspend32
            | CpuSuspend64
            | AffinityInfo32
            | AffinityInfo64
            | MigrateInfoType
            | SystemOff
            | SystemReset
            | SystemReset232
            | SystemReset264
    )
}

/// The number of the CPU with this affinity.
fn find(cpus: &[u64], wanted: Mpidr) -> Option<usize> {
    let wanted = u64::from(wanted);
    cpus.iter().position(|affinity| affinity & AFFINITY == wanted)
}

fn cpu_on(cpus: &[u64], target: Mpidr, entry: &EntryPoint, is_code: fn(u64) -> bool) -> Action {
    let Some(cpu) = find(cpus, target) else {
        return ErrorCode::InvalidParameters.into();
    };
    let (entry, argument) = (entry.entry_point_address(), entry.context_id());
    if is_code(entry) {
        Action::CpuOn { cpu, entry, argument }
    } else {
        ErrorCode::InvalidAddress.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAM: core::ops::Range<u64> = 0x4000_0000..0x8000_0000;
    /// CPUs 0 and 1 of one cluster, 0 of the next, and one far away; with bits that are no affinity.
    const CPUS: [u64; 4] = [0x8000_0000, 0x8000_0001, 0x8000_0100, 0x1f_8003_0201];

    const SUPPORTED: [u32; 14] = [
        0x8400_0000,
        0x8400_0001,
        0xc400_0001,
        0x8400_0002,
        0x8400_0003,
        0xc400_0003,
        0x8400_0004,
        0xc400_0004,
        0x8400_0006,
        0x8400_0008,
        0x8400_0009,
        0x8400_000a,
        0x8400_0012,
        0xc400_0012,
    ];
    const NOT_SUPPORTED: Action = Action::Return(u64::MAX);
    const INVALID_PARAMETERS: Action = Action::Return(u64::MAX - 1);
    const INVALID_ADDRESS: Action = Action::Return(u64::MAX - 8);

    fn call(x0: u32, arguments: [u64; 3]) -> Action {
        let [x1, x2, x3] = arguments;
        decide([x0.into(), x1, x2, x3], &CPUS, |entry| {
            entry.is_multiple_of(4) && RAM.contains(&entry)
        })
    }

    #[test]
    fn what_features_says_is_what_calls_do() {
        for function in (0x8400_0000..0x8400_0020).chain(0xc400_0000..0xc400_0020) {
            let is_there = SUPPORTED.contains(&function);
            let features = call(0x8400_000a, [function.into(), 0, 0]);
            assert_eq!(features == Action::Return(0), is_there, "{function:#x}");
            assert!(is_there || features == NOT_SUPPORTED, "{function:#x}");
            // PSCI_FEATURES of 0 is of no function.
            for argument in [0, 1, 1 << 24, u64::MAX]
                .into_iter()
                .filter(|_| function != 0x8400_000a)
            {
                let answer = call(function, [argument; 3]);
                assert_eq!(answer != NOT_SUPPORTED, is_there, "{function:#x} {argument:#x}");
            }
        }
        assert_eq!(
            call(0x8400_000a, [0x8000_0000, 0, 0]),
            Action::Return(0),
            "SMCCC_VERSION"
        );
    }

    #[test]
    fn a_cpu_is_named_by_all_of_its_affinity_and_nothing_else() {
        let on = |target| call(0xc400_0003, [target, RAM.start, 9]);
        let expected = |cpu| Action::CpuOn {
            cpu,
            entry: RAM.start,
            argument: 9,
        };
        assert_eq!(on(1), expected(1));
        assert_eq!(on(0x100), expected(2));
        assert_eq!(on(0x1f_0003_0201), expected(3));
        for nobody in [
            2,
            0x101,
            0x1_0000,
            0x1_0000_0001,
            0x03_0201,
            0x8000_0001,
            1 << 24 | 1,
            1 << 40 | 1,
        ] {
            assert_eq!(on(nobody), INVALID_PARAMETERS, "{nobody:#x}");
            assert_eq!(call(0xc400_0004, [nobody, 0, 0]), INVALID_PARAMETERS, "{nobody:#x}");
        }
        assert_eq!(call(0xc400_0004, [0x1f_0003_0201, 0, 0]), Action::AffinityInfo(3));
    }

    #[test]
    fn with_32_bits_the_upper_halves_do_not_count() {
        let upper = 0xffff_ffff_0000_0000;
        let on = call(0x8400_0003, [upper | 0x100, upper | RAM.start, upper | 9]);
        let expected = Action::CpuOn {
            cpu: 2,
            entry: RAM.start,
            argument: 9,
        };
        assert_eq!(on, expected);
        assert_eq!(call(0x8400_0004, [upper | 1, upper, 0]), Action::AffinityInfo(1));
        assert_eq!(call(0x8400_0012, [upper, upper, 0]), Action::WarmReset);
    }

    #[test]
    fn a_cpu_starts_in_memory_at_an_instruction() {
        for nowhere in [0, 0x3fff_fffc, RAM.start + 1, RAM.start + 2, RAM.end, u64::MAX] {
            assert_eq!(call(0xc400_0003, [1, nowhere, 0]), INVALID_ADDRESS, "{nowhere:#x}");
        }
        assert_eq!(
            call(0xc400_0003, [77, 0, 0]),
            INVALID_PARAMETERS,
            "the target comes first"
        );
    }

    #[test]
    fn affinity_info_is_about_single_cpus() {
        for level in [1, 2, 3, 4, u64::MAX] {
            assert_eq!(call(0xc400_0004, [1, level, 0]), INVALID_PARAMETERS, "{level}");
        }
    }

    #[test]
    fn a_power_state_has_the_original_format() {
        for state in [0, 0x1_0000, 0x0301_ffff] {
            assert_eq!(call(0xc400_0001, [state, RAM.start, 0]), Action::Suspend, "{state:#x}");
        }
        for bit in (17..24).chain(26..32) {
            assert_eq!(call(0xc400_0001, [1 << bit, 0, 0]), INVALID_PARAMETERS, "bit {bit}");
        }
    }

    #[test]
    fn a_warm_reset_is_type_0_and_nothing_else() {
        assert_eq!(call(0xc400_0012, [0, 0x1234, 0]), Action::WarmReset);
        for other in [1, 2, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_ffff] {
            assert_eq!(call(0xc400_0012, [other, 0, 0]), INVALID_PARAMETERS, "{other:#x}");
        }
        assert_eq!(call(0x8400_0009, [1, 2, 3]), Action::SystemReset);
    }

    #[test]
    fn errors_are_negative_in_64_bits() {
        assert_eq!(error(ErrorCode::NotSupported), u64::MAX);
        assert_eq!(error(ErrorCode::InvalidAddress), (-9_i64).cast_unsigned());
    }
}
