//! An L2 that is a hypervisor: its EL2 registers are in a page of L1's, which `VNCR_EL2` names.

use bare::host::NVHE;
use bare::l2::{Exit, HCR_NESTED, HCR_NV1, L2, Program};
use bare::memory::{self, Frames};
use bare::options::Options;
use bare::stage1::{self, Window};
use bare::sysreg::{ELR_EL12, VNCR_EL2};
use bare::{println, tlbi};

use crate::scenario::{PATTERN, Planted, Wrong, complete, expect, usual_l2};

/// `TPIDR_EL2` in the page.
pub(crate) const TPIDR_EL2: u64 = 0x90;
/// `CONTEXTIDR_EL1` in the page, if it is there.
const CONTEXTIDR_EL1: u64 = 0x108;
/// `ESR_EL2` of an access to the page, but for `WnR` and the status: a data abort from the current level, with `VNCR`.
pub(crate) const ESR_VNCR: u64 = 0x25 << 26 | 1 << 25 | 1 << 13;
pub(crate) const WRITE: u64 = 1 << 6;
pub(crate) const TRANSLATION_FAULT_LEVEL_3: u64 = 0b00_0111;
pub(crate) const PERMISSION_FAULT_LEVEL_3: u64 = 0b00_1111;
const EXTERNAL_ABORT: u64 = 0b01_0000;
/// Classes of what an L2 at a virtual EL2 traps.
const EC_SYS64: u64 = 0x18;
const EC_ERET: u64 = 0x1a;

/// An L2 at a virtual EL2, whose page is in the window, and that page.
fn nested_l2(frames: &mut Frames) -> (L2, Window, u64) {
    let (mut l2, _) = usual_l2(frames);
    let (window, page) = (Window::new(frames), frames.page());
    window.set(page | stage1::PAGE, frames);
    VNCR_EL2.set(stage1::BASE);
    l2.hcr = HCR_NESTED;
    (l2, window, page)
}

fn write_and_read(l2: &mut L2, page: u64, pattern: u64) -> Result<(), Wrong> {
    const EL2: u64 = 2 << 2;
    complete(
        l2,
        Program::HypWrite,
        &[0, pattern, !pattern],
        "L2 cannot write its EL2 registers",
    )?;
    let in_memory = memory::read(page + TPIDR_EL2);
    let exit = l2.run(Program::HypRead, &[]);
    let is_right = exit.hvc() == Some(0) && l2.x[1..4] == [pattern, !pattern, EL2];
    expect(
        is_right && in_memory == pattern,
        "L2's EL2 registers are not what was written",
        exit,
    )?;
    expect(ELR_EL12.get() == !pattern, "ELR_EL2 of L2 is not its ELR_EL1", exit)
}

/// With `NV1` the names of EL1 are of L2's guest, and in the page as well.
fn el1_names(l2: &mut L2, page: u64) -> Result<(), Wrong> {
    for (nv1, pattern) in [(0, PATTERN & 0xffff), (HCR_NV1, PATTERN & 0xff)] {
        l2.hcr = HCR_NESTED | nv1;
        let exit = l2.run(Program::HypEl1, &[0, pattern]);
        let is_in_page = memory::read(page + CONTEXTIDR_EL1) == pattern;
        let is_right = exit.hvc() == Some(0) && is_in_page == (nv1 != 0);
        expect(is_right, "a register of EL1 is not where NV1 has it", exit)?;
    }
    l2.hcr = HCR_NESTED;
    Ok(())
}

/// The fault of an access to `TPIDR_EL2`.
fn is_told(exit: Exit, status: u64) -> bool {
    exit.esr == ESR_VNCR | status && exit.far == VNCR_EL2.get() + TPIDR_EL2
}

fn write(l2: &mut L2) -> Exit {
    l2.run(Program::HypWrite, &[])
}

fn read(l2: &mut L2) -> Exit {
    l2.run(Program::HypRead, &[])
}

/// What L2 does at its EL2 that is L1's to emulate.
fn traps(l2: &mut L2) -> Result<(), Wrong> {
    for (program, class) in [
        (Program::HypTrap, EC_SYS64),
        (Program::HypTlbi, EC_SYS64),
        (Program::HypAt, EC_SYS64),
        (Program::HypEret, EC_ERET),
    ] {
        let exit = l2.run(program, &[]);
        println!("P {program:?}: ESR_EL2 {:#x}, SPSR_EL2 {:#x}", exit.esr, exit.spsr);
        expect(exit.class() == class, "what L2 did is not L1's", exit)?;
    }
    // The vector of an exception from EL1 with its own stack pointer.
    const FROM_ITSELF: u64 = 0x10 + 4;
    let exit = l2.run(Program::Svc, &[]);
    expect(
        exit.hvc() == Some(FROM_ITSELF),
        "L2 does not take its own exceptions",
        exit,
    )
}

/// No bug: the page is found, changed with the TLBI that belongs to it, and what is denied is told.
pub(crate) fn nested(frames: &mut Frames, _: Options<'_>) -> Result<Planted, Wrong> {
    let (mut l2, window, page) = nested_l2(frames);
    write_and_read(&mut l2, page, PATTERN)?;
    traps(&mut l2)?;
    if NVHE {
        el1_names(&mut l2, page)?;
    }
    let other = frames.page();
    window.set(0, frames);
    tlbi::vae2is(stage1::BASE);
    window.set(other | stage1::PAGE, frames);
    write_and_read(&mut l2, other, PATTERN + 1)?;
    let is_apart = memory::read(page + TPIDR_EL2) == PATTERN;
    expect(is_apart, "L2 wrote the page that was taken from it", read(&mut l2))?;
    window.set(0, frames);
    tlbi::alle2is();
    let exit = write(&mut l2);
    expect(
        is_told(exit, WRITE | TRANSLATION_FAULT_LEVEL_3),
        "an unmapped page is written",
        exit,
    )?;
    window.set(page | stage1::PAGE | stage1::READ_ONLY, frames);
    complete(&mut l2, Program::HypRead, &[], "a read-only page is not read")?;
    let exit = write(&mut l2);
    expect(
        is_told(exit, WRITE | PERMISSION_FAULT_LEVEL_3),
        "a read-only page is written",
        exit,
    )?;
    window.set(page | stage1::PAGE, frames);
    tlbi::vae2is(stage1::BASE);
    write_and_read(&mut l2, page, PATTERN + 2)?;
    // Another page by the register alone, and L2's own first one by its identical address.
    VNCR_EL2.set(other);
    write_and_read(&mut l2, other, PATTERN + 3)?;
    let plain = {
        l2.hcr = 0;
        l2.run(Program::HypRead, &[])
    };
    // The vector of an undefined instruction.
    expect(plain.hvc() == Some(0x14), "without NV there is no EL2", plain)?;
    l2.hcr = HCR_NESTED;
    Ok(Planted {
        l2,
        then: |l2| {
            read(l2);
        },
    })
}

/// The page is where L1 has no memory: in gnomon's, and where there is nothing.
pub(crate) fn vncr_in_l0(frames: &mut Frames, _: Options<'_>) -> Result<Planted, Wrong> {
    const NOTHING: u64 = 0xff << 30;
    const GNOMONS: u64 = 0x4020_0000;
    let (mut l2, _, page) = nested_l2(frames);
    write_and_read(&mut l2, page, PATTERN)?;
    for at in [NOTHING, GNOMONS] {
        VNCR_EL2.set(at);
        let exit = read(&mut l2);
        expect(is_told(exit, EXTERNAL_ABORT), "there was memory", exit)?;
        let exit = write(&mut l2);
        expect(is_told(exit, WRITE | EXTERNAL_ABORT), "there was memory", exit)?;
    }
    Ok(Planted {
        l2,
        then: |l2| {
            write(l2);
        },
    })
}

/// The page was taken away, and L1 goes on as if it had not been.
pub(crate) fn vncr_unmapped(frames: &mut Frames, _: Options<'_>) -> Result<Planted, Wrong> {
    let (mut l2, window, page) = nested_l2(frames);
    write_and_read(&mut l2, page, PATTERN)?;
    window.set(0, frames);
    tlbi::vae2is(stage1::BASE);
    let exit = write(&mut l2);
    expect(
        is_told(exit, WRITE | TRANSLATION_FAULT_LEVEL_3),
        "an unmapped page is written",
        exit,
    )?;
    Ok(Planted {
        l2,
        then: |l2| {
            write(l2);
        },
    })
}
