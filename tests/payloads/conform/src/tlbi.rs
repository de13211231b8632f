//! What a TLBI has to make an L2 forget.

use bare::host::NVHE;
use bare::l2::{L2, Program};
use bare::memory::{self, Frames};
use bare::println;
use bare::stage1::{BASE, PAGE, Window};
use bare::stage2::{Format, Perms, Stage2, VTCR_DS};
use bare::sysreg::{HCR_EL2, VTCR_EL2, VTTBR_EL2};
use syndrome::SysReg;

use crate::probe::{CODE_IPA, DATA_IPA, write_of};
use crate::vectors::El2Code;

/// Level 3, 4 KiB, as a TTL hint.
const TTL_LEVEL_3: u64 = 0b0111 << 44;
/// 4 KiB granule, and the two pages that `SCALE` and `NUM` of 0 are.
const RANGE_4K: u64 = 1 << 46;
/// `DSB ISH`, `ISB`
const DSB: u32 = 0xd503_3b9f;
const ISB: u32 = 0xd503_3fdf;

pub(crate) fn run(frames: &mut Frames) {
    own(frames);
    run_with(0, frames);
}

/// With tables that hold addresses of 52 bits, and ranges whose address is in units of 64 KiB then.
pub(crate) fn run_large(frames: &mut Frames) {
    run_with(VTCR_DS, frames);
}

/// What makes EL2 forget a page of its own stage 1: with `TGE` a host's are those of EL1, too.
fn own(frames: &mut Frames) {
    const HCR_TGE: u64 = 1 << 27;
    /// Not global, or `ASIDE1` would leave it.
    const LEAF: u64 = PAGE | if NVHE { 0 } else { 1 << 11 };
    /// `LDR x0, [x0]`
    const LOAD: u32 = 0xf940_0000;
    let code = El2Code::new(frames);
    let window = Window::new(frames);
    let pages = [frames.page(), frames.page()];
    for (value, page) in (1..).zip(pages) {
        memory::write(page, value);
    }
    let load = || code.execute(&[LOAD], BASE, 4).0;
    for (row, name) in SysReg::rows().filter(|(row, _)| row.reg.is_instruction() && row.reg.is_tlbi()) {
        let tge = if row.reg.op1() == 4 { 0 } else { HCR_TGE };
        // Stage 2 is no part of it; without VHE what is EL1's is the guest's.
        if row.is_hidden() || concerns_stage2(row.reg) || NVHE && tge != 0 {
            continue;
        }
        let operand = match name {
            _ if name.starts_with("TLBI R") => RANGE_4K | BASE >> 12,
            _ if name.starts_with("TLBI V") && !name.contains("ALLE") => BASE >> 12,
            _ => 0,
        };
        window.set(pages[0] | LEAF, frames);
        bare::tlbi::alle2is();
        let before = load();
        window.set(pages[1] | LEAF, frames);
        let hcr = HCR_EL2.get();
        HCR_EL2.set(hcr | tge);
        code.execute(&[write_of(row.reg), DSB, ISB], operand, 4);
        HCR_EL2.set(hcr);
        println!("P TLBI own {name} {before} {}", load());
    }
}

fn run_with(more: u64, frames: &mut Frames) {
    let code = El2Code::new(frames);
    let pages = [frames.page(), frames.page()];
    for (value, page) in (1..).zip(pages) {
        memory::write(page, value);
    }
    // Two sets of tables under one VMID, and one under another.
    let mut guests = [7, 7, 8].map(|vmid| {
        let stage2 = Stage2::new(Format::USUAL, vmid, frames);
        let stage2 = stage2.with_vtcr(stage2.vtcr() | more);
        L2::new(stage2, CODE_IPA, frames)
    });
    for (row, name) in SysReg::rows().filter(|(row, _)| concerns_stage2(row.reg)) {
        let mut loaded = [[0; 2]; 3];
        // All see the first page, and go on seeing it: nothing is forgotten between them.
        for guest in &guests {
            guest.stage2.map(DATA_IPA, pages[0], 3, Perms::RW, frames);
        }
        bare::tlbi::alle1is();
        for (guest, loaded) in guests.iter_mut().zip(&mut loaded) {
            loaded[0] = load(guest);
        }
        // The tables say the second; the instruction is about the first guest's VMID.
        for guest in &guests {
            guest.stage2.map(DATA_IPA, pages[1], 3, Perms::RW, frames);
        }
        let hcr = HCR_EL2.get();
        VTCR_EL2.set(guests[0].stage2.vtcr());
        VTTBR_EL2.set(guests[0].stage2.vttbr());
        code.execute(&[write_of(row.reg), DSB, ISB], operand(name, more), 4);
        HCR_EL2.set(hcr);
        for (guest, loaded) in guests.iter_mut().zip(&mut loaded) {
            // Of another VMID, which it need not be about.
            if guest.stage2.vttbr() >> 48 != 7 && !name.contains("ALLE1") {
                bare::tlbi::alle1is();
            }
            loaded[1] = load(guest);
        }
        println!("P TLBI {name} {loaded:?}");
    }
}

fn load(guest: &mut L2) -> u64 {
    let exit = guest.run(Program::Load, &[DATA_IPA]);
    if exit.hvc() == Some(0) { guest.x[1] } else { exit.esr }
}

/// Whether it forgets stage-2 translations.
fn concerns_stage2(reg: SysReg) -> bool {
    let name = reg.name().unwrap_or("");
    reg.is_instruction()
        && ["TLBI IPAS2", "TLBI RIPAS2", "TLBI VMALLS12", "TLBI ALLE1"]
            .iter()
            .any(|kind| name.starts_with(kind))
}

fn operand(name: &str, vtcr: u64) -> u64 {
    let page = DATA_IPA >> 12;
    match name {
        _ if name.starts_with("TLBI RIPAS2") && vtcr & VTCR_DS != 0 => RANGE_4K | page >> 4,
        _ if name.starts_with("TLBI RIPAS2") => RANGE_4K | page,
        _ if name.contains("LE1") => TTL_LEVEL_3 | page,
        _ => page,
    }
}
