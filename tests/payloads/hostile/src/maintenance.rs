//! TLBI, AT and the instructions beside them, of every kind, with any argument.

use bare::sysreg::{HCR_EL2, VTCR_EL2, VTTBR_EL2};
use syndrome::SysReg;

use crate::code::{Code, msr};
use crate::cpu::Cpu;

/// QEMU 10.0 ends with a failed assertion on these where stage 2 lets nobody write.
const ABORT_QEMU: [SysReg; 2] = [SysReg::AT_S12E1W, SysReg::AT_S12E0W];

pub(crate) fn step(cpu: &mut Cpu) {
    let place = cpu.place();
    let mut code = Code::new();
    for n in 0..1 + cpu.rng.below(6) as u32 {
        let bits = if cpu.rng.one_in(16) {
            // Any of op0 = 1.
            0x4000 | cpu.rng.draw() as u16 & 0x3fff
        } else {
            cpu.row(|reg| reg.is_instruction())
        };
        if ABORT_QEMU.contains(&SysReg::from_bits(bits)) {
            continue;
        }
        cpu.home.x[n as usize] = operand(cpu);
        code.push(msr(bits, n));
    }
    VTTBR_EL2.set(cpu.rng.value());
    VTCR_EL2.set(cpu.rng.value());
    // What kind of guest it is about.
    HCR_EL2.set(cpu.hcr());
    cpu.execute(place, &code);
}

/// An address, for those that take one and write there; or the same as a page's number, with an ASID, a level, a range of
/// any size.
fn operand(cpu: &mut Cpu) -> u64 {
    let address = cpu.rng.address();
    match cpu.rng.below(4) {
        0 => address,
        1 => address >> 12 | cpu.rng.draw() << 44,
        // The largest range there is, and any.
        2 => address >> 12 & 0x1f_ffff_ffff | 0x1ff << 37 | cpu.rng.draw() << 46,
        _ => 1 << 63 | cpu.rng.draw(),
    }
}
