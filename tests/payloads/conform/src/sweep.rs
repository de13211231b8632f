//! Every encoding of system registers, and every instruction with a name, from EL2, from EL1, and from an L2.

use bare::host::NVHE;
use bare::memory::Frames;
use bare::println;
use bare::sysreg::{MIDR_EL1, MPIDR_EL1, VMPIDR_EL2, VPIDR_EL2};
use syndrome::SysReg;
use syndrome::sysreg::{Place, Row};

use crate::probe::{self, Accesses, AtEl2, Below, DATA_IPA, HCR_OPEN, HCR_VM, Outcome, read_of};
use crate::values;
use crate::vectors::El2Code;

/// Prints a line for each that is shown, and one for each that is hidden and yet not undefined.
pub(crate) fn run(frames: &mut Frames) {
    probe::open();
    let el2 = AtEl2(El2Code::new(frames));
    let scratch = frames.page();
    let (mut el1, mut l2) = (Below::el1(frames), Below::guest(frames));
    el1.l2.controls = HCR_OPEN;
    l2.l2.controls = HCR_OPEN | HCR_VM;
    identity(&mut l2);
    values::run(&el2, &mut el1, &mut l2);
    for bits in 0..=u16::MAX {
        let reg = SysReg::from_bits(bits);
        if reg.op0() == 0 || reg.op0() == 1 && reg.name().is_none() {
            continue;
        }
        let places = [
            Accesses::of(reg, scratch, |word, x0| el2.execute(word, x0)),
            Accesses::of(reg, scratch, |word, x0| el1.execute(word, x0)),
            Accesses::of(reg, DATA_IPA, |word, x0| l2.execute(word, x0)),
        ];
        print(reg, places);
    }
}

/// The guest finds the identity that EL2 has given it, and EL2 its own.
fn identity(guest: &mut Below) {
    let usual = [MIDR_EL1.get(), MPIDR_EL1.get()];
    for (vpidr, vmpidr) in [(0x1234_5678, 0x8000_0003), (usual[0], usual[1])] {
        VPIDR_EL2.set(vpidr);
        VMPIDR_EL2.set(vmpidr);
        let [midr, mpidr] = [SysReg::MIDR_EL1, SysReg::MPIDR_EL1].map(|reg| guest.execute(read_of(reg), 0).0);
        println!("P IDENTITY {vpidr:#x} {vmpidr:#x}: l2 {midr:#x} {mpidr:#x}");
        println!("P IDENTITY el2 {:#x} {:#x}", MIDR_EL1.get(), MPIDR_EL1.get());
    }
}

fn print(reg: SysReg, [el2, el1, l2]: [Accesses; 3]) {
    let row = reg.row();
    let is_hidden = row.is_hidden() || NVHE && comes_with_vhe(reg);
    let is_shown = (reg.name().is_some() || row.place == Place::Id) && !is_hidden;
    if is_shown {
        println!("P SWEEP {reg} el2 {el2} el1 {el1} l2 {l2}");
        if must_be_there(row).is_some_and(|is_there| is_there == el2.is_undefined()) {
            println!("P WRONG {reg} is {:?} in the table", row.place);
        }
    } else if is_in_id_space(reg) && [el2, el1, l2].iter().any(|place| place.read == Outcome::UNDEFINED) {
        println!("P WRONG {reg} is in the ID space: el2 {el2} el1 {el1} l2 {l2}");
    } else if [el2, el1, l2].iter().any(|place| !place.is_undefined()) {
        println!("P HIDDEN {reg} el2 {el2} el1 {el1} l2 {l2}");
    }
}

/// Whether a read that is undefined is told as a trapped one (FEAT_IDST).
fn is_in_id_space(reg: SysReg) -> bool {
    reg.op0() == 3 && matches!(reg.op1(), 0 | 1 | 3) && reg.crn() == 0 && reg.crm() < 8
}

/// Aliases of the guest's registers, and what makes EL2 fit for a host.
fn comes_with_vhe(reg: SysReg) -> bool {
    const ALIAS_OP1: u8 = 5;
    const OF_A_HOST: [SysReg; 4] = [
        SysReg::TTBR1_EL2,
        SysReg::CNTHV_TVAL_EL2,
        SysReg::CNTHV_CTL_EL2,
        SysReg::CNTHV_CVAL_EL2,
    ];
    reg.op1() == ALIAS_OP1 || OF_A_HOST.contains(&reg)
}

/// Whether EL2 reaches such a register; `None` where that is the machine's affair.
fn must_be_there(row: Row) -> Option<bool> {
    match row.place {
        // Of many that are alike a machine has some.
        Place::Emulated if row.reg.op1() < 4 => None,
        Place::Absent | Place::Unnamed(_) => Some(false),
        Place::Hardware | Place::Page(_) | Place::Guest(_) | Place::Twin(_) => None,
        Place::Alias(_)
        | Place::Redirected(_)
        | Place::Mapped(_)
        | Place::Timer
        | Place::Emulated
        | Place::Computed
        | Place::Zero
        | Place::Id => Some(true),
    }
}
