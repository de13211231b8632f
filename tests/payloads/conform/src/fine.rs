//! Each bit of the fine-grained traps, and what of an L2 it traps.
//!
//! Bits are not tried one by one. Of the words with half of the bits, those whose number has a certain binary digit, twelve
//! tell for each access which bit it is that traps it. All words that are not about the access are full meanwhile.

use bare::l2::PSTATE_EL1H_MASKED;
use bare::memory::Frames;
use bare::println;
use bare::sysreg::{ELR_EL12, HCRX_EL2, HDFGRTR_EL2, HDFGWTR_EL2, HFGITR_EL2, HFGRTR_EL2, HFGWTR_EL2, SPSR_EL12};
use syndrome::SysReg;
use syndrome::fgt::FineRegister;
use syndrome::regs::{hcrx_el2, hfgitr_el2};
use syndrome::sysreg::Row;

use crate::probe::{self, Below, DATA_IPA, HCR_OPEN, HCR_VM, Outcome, PROBE_IPA, PSTATE_EL0, read_of, write_of};

const ALL: [FineRegister; 5] = [
    FineRegister::HFGRTR,
    FineRegister::HFGWTR,
    FineRegister::HFGITR,
    FineRegister::HDFGRTR,
    FineRegister::HDFGWTR,
];
const OF_READS: [FineRegister; 2] = [FineRegister::HFGRTR, FineRegister::HDFGRTR];
const OF_WRITES: [FineRegister; 2] = [FineRegister::HFGWTR, FineRegister::HDFGWTR];
const OF_INSTRUCTIONS: [FineRegister; 1] = [FineRegister::HFGITR];

const SVC: u32 = 0xd400_0001;
const ERET: u32 = 0xd69f_03e0;

/// Bits whose number has this digit, or has it not.
const WORDS: [u64; 12] = {
    let (mut words, mut bit) = ([0; 12], 0);
    while bit < 64 {
        let mut digit = 0;
        while digit < 6 {
            let without = (bit >> digit & 1 == 0) as usize;
            words[digit + 6 * without] |= 1 << bit;
            digit += 1;
        }
        bit += 1;
    }
    words
};

/// Prints a line for each access that something traps, with what does.
pub(crate) fn run(frames: &mut Frames) {
    probe::open();
    let mut guest = Below::guest(frames);
    guest.l2.controls = HCR_OPEN | HCR_VM;
    for (row, name) in SysReg::rows().filter(|(row, _)| !row.is_hidden() && row.reg.op1() < 4) {
        registers(row, name, &mut guest);
    }
    for hcrx in [0, hcrx_el2::FGTnXS, hcrx_el2::FnXS] {
        HCRX_EL2.set(hcrx);
        println!("P FINE HCRX {hcrx:#x}");
        for (row, name) in SysReg::rows().filter(|(row, _)| !row.is_hidden() && row.reg.is_tlbi()) {
            if row.reg.is_instruction() && row.reg.op1() == 0 {
                registers(row, name, &mut guest);
            }
        }
    }
    HCRX_EL2.set(0);
    exceptions(&mut guest);
    open();
}

/// Tries an encoding.
fn registers(row: Row, name: &str, guest: &mut Below) {
    let el0 = if row.reg.op1() == 3 { 2 } else { 1 };
    for pstate in [PSTATE_EL1H_MASKED, PSTATE_EL0].into_iter().take(el0) {
        let mut value = DATA_IPA;
        if !row.reg.is_instruction() {
            open();
            let (read, outcome) = guest.execute_at(read_of(row.reg), 0, pstate);
            value = if outcome == Outcome::Done { read } else { 0 };
            let trapped = by_bit(&OF_READS, || guest.execute_at(read_of(row.reg), 0, pstate).1);
            say(row, name, true, pstate, trapped);
        }
        let registers = if row.reg.is_instruction() {
            &OF_INSTRUCTIONS[..]
        } else {
            &OF_WRITES
        };
        let trapped = by_bit(registers, || guest.execute_at(write_of(row.reg), value, pstate).1);
        say(row, name, false, pstate, trapped);
    }
}

/// Instructions that are no encodings.
fn exceptions(guest: &mut Below) {
    for (name, word, pstate, bit) in [
        ("ERET", ERET, PSTATE_EL1H_MASKED, hfgitr_el2::ERET),
        ("ERETAA", 0xd69f_0bff, PSTATE_EL1H_MASKED, hfgitr_el2::ERET),
        ("SVC", SVC, PSTATE_EL1H_MASKED, hfgitr_el2::SVC_EL1),
        ("SVC EL0", SVC, PSTATE_EL0, hfgitr_el2::SVC_EL0),
    ] {
        for (digit, word_of_bits) in WORDS.into_iter().chain([0, bit, !bit]).enumerate() {
            open();
            HFGITR_EL2.set(word_of_bits);
            SPSR_EL12.set(PSTATE_EL1H_MASKED);
            ELR_EL12.set(PROBE_IPA + 4);
            let exit = guest.exit_of(&[word], 0, pstate);
            println!("P FINE {name} {digit} {exit}");
        }
    }
}

/// Nothing traps.
fn open() {
    for register in ALL {
        put(register, 0);
    }
}

/// What traps an access: nothing, always, or a bit; or something that is none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trapped {
    Never,
    Always,
    By(FineRegister, u32),
    Strangely(u64),
}

fn by_bit(registers: &[FineRegister], mut access: impl FnMut() -> Outcome) -> Trapped {
    let mut found = Trapped::Never;
    for &register in registers {
        for other in ALL {
            put(other, if registers.contains(&other) { 0 } else { u64::MAX });
        }
        let mut trapped = 0_u64;
        for (digit, word) in WORDS.into_iter().enumerate() {
            put(register, word);
            trapped |= u64::from(matches!(access(), Outcome::Trapped(_))) << digit;
        }
        let bit = trapped as u32 & 0x3f;
        let is_of_bit = trapped >> 6 == u64::from(!bit & 0x3f);
        found = match (trapped, found) {
            (0, found) => found,
            (0xfff, _) => Trapped::Always,
            (_, Trapped::Never) if is_of_bit => Trapped::By(register, bit),
            _ => Trapped::Strangely(trapped),
        };
    }
    found
}

fn say(row: Row, name: &str, is_read: bool, pstate: u64, trapped: Trapped) {
    let access = if is_read { "r" } else { "w" };
    let level = pstate >> 2 & 3;
    if trapped != Trapped::Never {
        println!("P FINE {name} {access} el{level} {trapped:?}");
    }
    let of_table = row.fine.control(is_read);
    let of_table = of_table.map(|control| (control.register, control.mask.trailing_zeros()));
    if let Trapped::By(register, bit) = trapped
        && of_table != Some((register, bit))
    {
        println!("P WRONG {name} {access} is {of_table:?} in the table");
    }
}

fn put(register: FineRegister, value: u64) {
    match register {
        FineRegister::HFGRTR => HFGRTR_EL2.set(value),
        FineRegister::HFGWTR => HFGWTR_EL2.set(value),
        FineRegister::HFGITR => HFGITR_EL2.set(value),
        FineRegister::HDFGRTR => HDFGRTR_EL2.set(value),
        FineRegister::HDFGWTR => HDFGWTR_EL2.set(value),
        FineRegister::HAFGRTR => {}
    }
}
