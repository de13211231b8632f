//! Calls of PSCI with any arguments.

use std::ops::Range;

use power::{Action, CpuPower, decide};

use crate::Input;

const RAM: Range<u64> = 0x4000_0000..0x8000_0000;
const CPUS: [u64; 4] = [0x8000_0000, 0x8000_0001, 0x8000_0100, 0x1f_8003_0201];
const AFFINITY: u64 = 0xff_00ff_ffff;
/// Bit 30 of a function's number: its arguments have 64 bits.
const SMC64: u64 = 1 << 30;

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    for _ in 0..8 {
        call(&mut input);
    }
    check_power(&mut input);
}

fn call(input: &mut Input<'_>) {
    let function = match input.below(4) {
        0 => input.word(),
        _ => 0x8400_0000 | u64::from(input.byte() & 1) << 30 | u64::from(input.byte() & 0x1f),
    };
    let target = if input.bit() {
        input.pick(&CPUS) & AFFINITY
    } else {
        input.word()
    };
    let x = [function, target, RAM.start ^ input.word(), input.word()];
    let arguments = |value: u64| {
        if function & SMC64 != 0 {
            value
        } else {
            value & 0xffff_ffff
        }
    };
    match decide(x, &CPUS, |entry| RAM.contains(&entry)) {
        Action::CpuOn { cpu, entry, argument } => {
            assert_eq!(CPUS[cpu] & AFFINITY, arguments(x[1]), "the CPU that was named");
            assert!(RAM.contains(&entry), "{entry:#x} is not L1's");
            assert_eq!((entry, argument), (arguments(x[2]), arguments(x[3])));
        }
        Action::AffinityInfo(cpu) => assert_eq!(CPUS[cpu] & AFFINITY, arguments(x[1])),
        Action::SystemOff | Action::SystemReset | Action::WarmReset | Action::CpuOff | Action::Suspend => {
            assert_eq!(function as u32 & 0xbfff_ffe0, 0x8400_0000, "a function of PSCI's");
        }
        Action::Return(_) => {}
    }
}

/// A CPU against what one knows who was told of each call.
fn check_power(input: &mut Input<'_>) {
    let (power, mut request, mut is_on) = (CpuPower::new(), None, false);
    for _ in 0..8 {
        match input.below(3) {
            0 => {
                let wanted = (input.double(), input.double());
                let is_taken = power.switch_on(wanted.0, wanted.1).is_ok();
                assert_eq!(is_taken, request.is_none() && !is_on);
                if is_taken {
                    request = Some(wanted);
                }
            }
            1 => {
                assert_eq!(power.take_request(), request);
                is_on |= request.take().is_some();
            }
            // Only a CPU that is on switches itself off.
            _ if is_on => {
                power.switch_off();
                is_on = false;
            }
            _ => {}
        }
    }
}
