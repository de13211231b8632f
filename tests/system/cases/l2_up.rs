//! While an L2 is up: what the console shows of its tables, running and stopped; and what is left
//! when it is gone.
//!
//! All trials are about one machine. L1 stays at its shell and starts an L2 that stays at its own,
//! so that nothing depends on how long looking takes. [`Scene::play`] gathers, each trial judges
//! one statement about what was gathered.

mod gathered;

use std::fs;

use anyhow::{Context, Result as AnyResult};
use libtest_mimic::Trial;
use system_tests::compose;
use system_tests::frugal;
use system_tests::listing::{self, ShadowName, ShadowRow};
use system_tests::page;
use system_tests::ptdump::{Dump, Leaf, split_by_name};
use xtask::view;

use crate::scene::{self, Play};
use crate::{Result, expect_none};
use gathered::{Scene, exit_count, is_left_over};

/// RAM of QEMU's `virt` board in L2: 256 MiB, of which the payload's memory check alone touches 64.
const L2_RAM: (u64, u64) = (0x4000_0000, 0x5000_0000);
const L2_TOUCHED_BYTES: u64 = 64 << 20;

/// RAM of the machine (4 GiB), what gnomon may keep of it at its start, and devices L1 must not have.
const RAM: (u64, u64) = (0x4000_0000, 0x1_4000_0000);
const CARVE_OUT_BYTES_MAX: u64 = 96 << 20;
const L1_UART: u64 = 0x0900_0000;
const DEBUG_UART: u64 = 0x0904_0000;
const GICD: u64 = 0x0800_0000;

pub(crate) fn trials() -> Vec<Trial> {
    scene::trials::<Scene>(&[
        ("while_l2_is_up_every_table_is_listed", every_table_is_listed),
        (
            "while_l2_is_up_every_dump_is_in_linux_7_2_format",
            every_dump_is_in_linux_format,
        ),
        ("while_l2_is_up_its_ram_is_in_the_shadow", ram_is_in_the_shadow),
        ("while_l2_is_up_the_shadow_agrees_with_guest_and_host", shadow_agrees),
        ("while_l2_is_up_the_shadow_listing_agrees_with_the_dump", listing_agrees),
        (
            "while_l2_is_up_levels_and_ipa_range_follow_l1s_vtcr",
            levels_and_ipa_range,
        ),
        (
            "while_l2_is_up_the_host_maps_l1s_ram_and_nothing_of_gnomons",
            host_maps_ram,
        ),
        ("while_l2_is_up_exits_add_up_and_grow", exits_add_up),
        ("while_l2_is_up_the_viewers_numbers_are_the_dumps", page_agrees),
        ("stop_freezes_l1_and_l2_until_cont", stop_freezes),
        ("after_l2_its_shadow_is_gone_or_empty", shadow_is_gone),
    ])
}

fn dump(lines: &[String]) -> AnyResult<Dump> {
    Dump::parse(lines).with_context(|| lines.join("\n"))
}

fn every_table_is_listed(scene: &Scene) -> Result {
    let name = &scene.stopped.name.text;
    let wanted = [
        "host".to_owned(),
        "el2".to_owned(),
        format!("shadow/{name}"),
        format!("guest/{name}"),
    ];
    let missing = wanted.iter().filter(|table| !scene.tables.contains(table));
    expect_none(
        &missing
            .map(|table| format!("{table} is not in {:?}", scene.tables))
            .collect::<Vec<_>>(),
    )
}

/// Parsing is strict; in addition, `-f` is the same dump with the last range, up to the end.
fn every_dump_is_in_linux_format(scene: &Scene) -> Result {
    let stopped = &scene.stopped;
    for (_, lines) in split_by_name(&stopped.dumps) {
        dump(&lines)?;
    }
    let tables = [&stopped.shadow, &stopped.guest, &stopped.host];
    for ([without, with], (table, _, ipa_range)) in tables.into_iter().zip(&stopped.sizes) {
        let (without, with) = (dump(without)?, dump(with)?);
        let bits: u32 = ipa_range.trim().parse().context("ipa_range is no number")?;
        let [first @ .., last] = &with.ranges[..] else {
            return Err(format!("{table}: -f prints no last range").into());
        };
        if first != without.ranges || last.end != 1 << bits {
            return Err(format!("{table}: -f must add one range, which ends at {bits} bits, not {last:x?}").into());
        }
    }
    Ok(())
}

fn ram_is_in_the_shadow(scene: &Scene) -> Result {
    let shadow = dump(&scene.stopped.shadow[0])?;
    let bytes = shadow.mapped_bytes_in(L2_RAM.0, L2_RAM.1);
    if bytes < L2_TOUCHED_BYTES {
        return Err(format!("{bytes:#x} bytes of L2's RAM are mapped, and its check has touched more").into());
    }
    let beyond = shadow.mapped_bytes_in(L2_RAM.1, u64::MAX);
    if beyond > 0 {
        return Err(format!("{beyond:#x} bytes are mapped beyond L2's RAM").into());
    }
    Ok(())
}

/// The shadow is the guest's table composed with the host's, as far as text tells.
fn shadow_agrees(scene: &Scene) -> Result {
    let stopped = &scene.stopped;
    let (shadow, guest, host) = (
        dump(&stopped.shadow[0])?,
        dump(&stopped.guest[0])?,
        dump(&stopped.host[0])?,
    );
    let host_ram = host
        .mapped()
        .filter(|(range, _)| range.start >= RAM.0 && range.end <= RAM.1);
    let host_level = host_ram.map(|(range, _)| range.level).max().unwrap_or(3);
    let found = compose::disagreements(&shadow, &guest, host_level);
    expect_none(&found.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    // Without a block there, nothing was shown about blocks.
    if guest.mapped_bytes_at(2) == 0 {
        return Err("L1 has no blocks for L2: is transparent_hugepage off in L1?".into());
    }
    Ok(())
}

fn listing_agrees(scene: &Scene) -> Result {
    let stopped = &scene.stopped;
    let rows = listing::parse_shadows(&stopped.shadows)?;
    let dumps = split_by_name(&stopped.dumps);
    let names = |name: &ShadowName| format!("shadow/{}", name.text);
    let listed: Vec<String> = rows.iter().map(|row| names(&row.name)).collect();
    let dumped: Vec<String> = dumps.iter().map(|(name, _)| name.clone()).collect();
    if listed != dumped {
        return Err(format!("`shadow` lists {listed:?}, `ptdump shadow` {dumped:?}").into());
    }
    let mut wrong = Vec::new();
    for (row, (_, lines)) in rows.iter().zip(&dumps) {
        wrong.extend(complaints_about_row(row, &dump(lines)?));
    }
    let mut vmids: Vec<u64> = rows.iter().map(|row| row.vmid).collect();
    vmids.sort_unstable();
    vmids.dedup();
    if vmids.len() != rows.len() {
        wrong.push("two shadows have one VMID".to_owned());
    }
    expect_none(&wrong)
}

fn complaints_about_row(row: &ShadowRow, dump: &Dump) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |is_right: bool, what: &str| {
        if !is_right {
            wrong.push(format!("{}: {what}: {row:?}", row.name.text));
        }
    };
    let mapped = [3, 2, 1].map(|level| dump.mapped_bytes_at(level));
    check(row.mapped == mapped, "the bytes mapped are not those of the dump");
    check(row.vmid > 0, "VMID 0 is nobody's");
    check(row.refs <= 2, "more references than vCPUs");
    // The price of a guest: a tenth more pages than its leaves take at least is too much.
    let fewest = frugal::fewest_tables(dump);
    check(row.table_pages >= fewest, "less pages than its leaves take");
    check(row.table_pages * 10 <= fewest * 11, "more pages than its leaves take");
    let ranges_count = dump.mapped().count() as u64;
    check(row.faults >= ranges_count, "fewer faults than ranges");
    wrong
}

/// L1's `VTCR_EL2` is in the name, and is what L1's own table is walked by.
fn levels_and_ipa_range(scene: &Scene) -> Result {
    let name = &scene.stopped.name;
    let mut wrong = Vec::new();
    for (table, levels, ipa_range) in &scene.stopped.sizes {
        // Linux's debugfs files print "%1d" and "%2u".
        let (Ok(level_count), Ok(bits)) = (levels.parse::<u64>(), ipa_range.parse::<u64>()) else {
            wrong.push(format!("{table}: levels {levels:?}, ipa_range {ipa_range:?}"));
            continue;
        };
        if table.starts_with("guest/") && (level_count, bits) != (name.levels(), name.ipa_bits()) {
            wrong.push(format!(
                "{table}: {level_count} levels, {bits} bits; VTCR_EL2 is {:#x}",
                name.vtcr
            ));
        }
        if !(1..=4).contains(&level_count) || !(32..=48).contains(&bits) {
            wrong.push(format!("{table}: {level_count} levels, {bits} bits"));
        }
    }
    expect_none(&wrong)
}

/// Every row of the viewer's page is part of a range of the dump, and the sums are equal: so the rows are
/// all of what the dump shows as mapped.
fn page_agrees(scene: &Scene) -> Result {
    let records = scene.log_dir().join("view.jsonl");
    let page = scene.log_dir().join("view.html");
    fs::write(&records, &scene.viewed.records).with_context(|| records.display().to_string())?;
    view::run(&view::Options {
        source: view::Source::Records(records),
        html: Some(page.clone()),
        svg: None,
        save: None,
        l2: None,
    })?;
    let text = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    let stopped = &scene.stopped;
    let name = &stopped.name.text;
    let mut wrong = scene.viewed.notes.clone();
    for (table, [lines, _]) in [
        ("host".to_owned(), &stopped.host),
        (format!("shadow/{name}"), &stopped.shadow),
        (format!("guest/{name}"), &stopped.guest),
    ] {
        let rows = page::rows(&text, &table);
        wrong.extend(page::disagreements(&rows, &dump(lines)?).map(|why| format!("{table}: {why}")));
    }
    expect_none(&wrong)
}

fn host_maps_ram(scene: &Scene) -> Result {
    const RWX: Leaf = Leaf {
        read: true,
        write: true,
        execute_el1: true,
        execute_el0: true,
        accessed: true,
        is_block: true,
    };
    let host = dump(&scene.stopped.host[0])?;
    let mut wrong = Vec::new();
    let missing = (RAM.1 - RAM.0) - host.mapped_bytes_in(RAM.0, RAM.1);
    if !(1..=CARVE_OUT_BYTES_MAX).contains(&missing) {
        wrong.push(format!("{missing:#x} bytes of RAM are not L1's"));
    }
    for (range, leaf) in host
        .mapped()
        .filter(|(range, _)| range.start >= RAM.0 && range.end <= RAM.1)
    {
        if leaf != RWX {
            wrong.push(format!("RAM is to be blocks that allow everything: {range:x?}"));
        }
    }
    let is_mapped = |address| host.at(address).is_some_and(|range| range.leaf.is_some());
    for (address, what, wanted) in [
        (RAM.0, "the start of RAM, which is gnomon's", false),
        (DEBUG_UART, "the debug UART", false),
        (GICD, "the GIC distributor", false),
        (L1_UART, "L1's UART", true),
    ] {
        if is_mapped(address) != wanted {
            wrong.push(format!("{what} at {address:#x}: mapped is {}", !wanted));
        }
    }
    expect_none(&wrong)
}

fn exits_add_up(scene: &Scene) -> Result {
    let [first, second] = scene.exits.each_ref().map(|lines| listing::parse_exits(lines));
    let (first, second) = (first?, second?);
    let mut wrong = listing::exit_complaints(&first);
    for (cause, whose) in [("ERET", "L1"), ("DABT_LOW", "L2"), ("IRQ", "L1")] {
        if !first
            .iter()
            .any(|row| row.cause == cause && row.whose == whose && row.count > 0)
        {
            wrong.push(format!("no {cause} of {whose} in a run with an L2"));
        }
    }
    if exit_count(&second) <= exit_count(&first) {
        wrong.push("a running machine has exits between two looks".to_owned());
    }
    expect_none(&wrong)
}

/// L2 prints without pause. While stopped, nothing comes and no exit is counted; it does before,
/// and (without which the scene would have ended early) afterwards.
fn stop_freezes(scene: &Scene) -> Result {
    let mut wrong = Vec::new();
    let [before, after] = scene.progress.running;
    if after <= before {
        wrong.push("L2 printed nothing while running: this shows nothing about stop".to_owned());
    }
    let [before, after] = scene.progress.stopped;
    if after != before {
        wrong.push(format!("{} lines came from L1 while it was stopped", after - before));
    }
    let [before, after] = &scene.stopped.exits;
    if before != after {
        wrong.push(format!("exits were counted while stopped: {before:?} and {after:?}"));
    }
    expect_none(&wrong)
}

/// L1's KVM frees the tables of a VM it tears down without a word to the TLB; gnomon finds out.
fn shadow_is_gone(scene: &Scene) -> Result {
    let [shadows, dumps] = scene.after.as_ref()?;
    let rows = listing::parse_shadows(shadows)?;
    let mut wrong = Vec::new();
    for row in rows.iter().filter(|row| is_left_over(row)) {
        wrong.push(format!("L2 is gone, and still there is {row:?}"));
    }
    for (name, lines) in split_by_name(dumps)
        .iter()
        .filter(|(name, _)| name.ends_with("-s2-enabled"))
    {
        if dump(lines)?.mapped().next().is_some() {
            wrong.push(format!("L2 is gone, and {name} maps:\n{}", lines.join("\n")));
        }
    }
    expect_none(&wrong)
}
