//! Ranges and descriptors of page tables as rows.

use core::fmt::{self, Write};

use vmsa::{
    EntryKind, Level,
    ptdump::{Descriptor, Run},
    stage2::{Perms, Stage2Desc},
};
use wire::Hex;

use super::{
    commands::Output,
    spaces::Space,
    tables::{NAME_BYTES, Table},
    text::Text,
};

/// Prints a range of `space` as a record.
pub fn map(space: &Space, run: &Run, out: &mut Output) -> fmt::Result {
    with_map(space, run, |map| out.row(&map))
}

/// Prints one side of a range that differs: what it was (`-`), or what it is (`+`).
pub fn change(sign: &str, space: &Space, run: &Run, out: &mut Output) -> fmt::Result {
    if out.is_for_programs() {
        return with_map(space, run, |map| out.row(&wire::Change { change: sign, map }));
    }
    write!(out, "{sign} ")?;
    space.dumper().print(run, out)
}

/// Calls `f` with the record of a range of `space`.
fn with_map(space: &Space, run: &Run, f: impl FnOnce(wire::Map<'_>) -> fmt::Result) -> fmt::Result {
    const AF: u64 = 1 << 10;
    let (mut name, mut mem, mut sh) = (Text::<NAME_BYTES>::new(), Text::<48>::new(), Text::<8>::new());
    write!(name, "{space}")?;
    if let Some(target) = run.target {
        write!(mem, "{}", target.mem)?;
        write!(sh, "{}", target.sh)?;
    }
    let perms = perms(space, run).map(|(is_allowed, letter)| if is_allowed { letter } else { b'-' });
    f(wire::Map {
        table: name.as_str(),
        ia: Hex(run.start),
        size: Hex(run.size()),
        oa: Hex(run.target.map_or(0, |target| target.output)),
        level: run.level.get(),
        kind: kind(run),
        perms: core::str::from_utf8(&perms).unwrap_or_default(),
        mem: mem.as_str(),
        sh: sh.as_str(),
        af: run.prot & AF != 0,
        contiguous: run.target.is_some_and(|target| target.contiguous),
        raw: Hex(run.raw),
    })
}

fn kind(run: &Run) -> &'static str {
    match run.kind {
        EntryKind::Unreadable => "unreadable",
        EntryKind::Invalid => "invalid",
        EntryKind::Leaf if run.level == Level::THREE => "page",
        EntryKind::Leaf => "block",
    }
}

/// What a range allows, with the letters for it: reading, writing, execution with and without privilege.
fn perms(space: &Space, run: &Run) -> [(bool, u8); 4] {
    let perms = match space {
        _ if run.kind != EntryKind::Leaf => Perms::NONE,
        Space::Table(Table::El2) => stage1_perms(run.prot, false),
        Space::Half(half) => stage1_perms(run.prot, half.regime().has_el0()),
        Space::Table(_) => Stage2Desc::from_raw(run.prot).attrs(true).perms,
    };
    [
        (perms.read, b'r'),
        (perms.write, b'w'),
        (perms.exec_el1, b'p'),
        (perms.exec_el0, b'u'),
    ]
}

/// What a leaf of a stage 1 allows the privileged, and whom it lets execute, whatever the tables above it take away.
const fn stage1_perms(prot: u64, has_el0: bool) -> Perms {
    const READ_ONLY: u64 = 1 << 7;
    const PXN: u64 = 1 << 53;
    const XN: u64 = 1 << 54;
    let privileged_xn = if has_el0 { PXN } else { XN };
    Perms {
        read: true,
        write: prot & READ_ONLY == 0,
        exec_el1: prot & privileged_xn == 0,
        exec_el0: has_el0 && prot & XN == 0,
    }
}

/// Prints a descriptor of `space`, unless it is all zero.
pub fn descriptor(space: &Space, descriptor: &Descriptor, out: &mut Output) -> fmt::Result {
    if descriptor.is_zero() {
        return Ok(());
    }
    if !out.is_for_programs() {
        return writeln!(out, "{descriptor}");
    }
    let mut name = Text::<NAME_BYTES>::new();
    write!(name, "{space}")?;
    out.row(&wire::Descriptor {
        table: name.as_str(),
        ia: Hex(descriptor.ia),
        size: Hex(descriptor.size),
        level: descriptor.level.get(),
        at: Hex(descriptor.at),
        raw: Hex(descriptor.raw),
        kind: descriptor.meaning.name(),
        oa: Hex(descriptor.meaning.address().unwrap_or(0)),
    })
}
