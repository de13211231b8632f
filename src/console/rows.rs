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
    tables::{NAME_BYTES, Table},
    text::Text,
};

/// Prints a range of `table` as a record.
pub fn map(table: &Table, run: &Run, out: &mut Output) -> fmt::Result {
    let (mut name, mut mem, mut sh) = (Text::<NAME_BYTES>::new(), Text::<48>::new(), Text::<8>::new());
    write!(name, "{table}")?;
    if let Some(target) = run.target {
        write!(mem, "{}", target.mem)?;
        write!(sh, "{}", target.sh)?;
    }
    const AF: u64 = 1 << 10;
    let perms = perms(table, run).map(|(is_allowed, letter)| if is_allowed { letter } else { b'-' });
    out.row(&wire::Map {
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
fn perms(table: &Table, run: &Run) -> [(bool, u8); 4] {
    const READ_ONLY: u64 = 1 << 7;
    const XN: u64 = 1 << 54;
    let perms = match table {
        _ if run.kind != EntryKind::Leaf => Perms::NONE,
        Table::El2 => Perms {
            read: true,
            write: run.prot & READ_ONLY == 0,
            exec_el1: run.prot & XN == 0,
            exec_el0: false,
        },
        Table::Host | Table::Shadow(_) | Table::Guest(_) => Stage2Desc::from_raw(run.prot).attrs(true).perms,
    };
    [
        (perms.read, b'r'),
        (perms.write, b'w'),
        (perms.exec_el1, b'p'),
        (perms.exec_el0, b'u'),
    ]
}

/// Prints a descriptor of `table`, unless it is all zero.
pub fn descriptor(table: &Table, descriptor: &Descriptor, out: &mut Output) -> fmt::Result {
    if descriptor.is_zero() {
        return Ok(());
    }
    if !out.is_for_programs() {
        return writeln!(out, "{descriptor}");
    }
    let mut name = Text::<NAME_BYTES>::new();
    write!(name, "{table}")?;
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
