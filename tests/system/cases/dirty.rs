//! Writes of L1 and of its L2 are logged, blocks are split for it, and all is as before in the end.

use std::time::Instant;

use anyhow::{Context, Result as AnyResult, ensure};
use libtest_mimic::Trial;
use xtask::console::Console;

use crate::answers::expect_errors;
use crate::{Result, entry, faulty, scene, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("what_l1_and_l2_write_is_logged_and_then_forgotten", is_logged),
        trial(
            "what_a_nested_l2_writes_to_its_registers_is_logged",
            registers_are_logged,
        ),
    ]
}

/// Has L2 write 64 MiB.
const WRITE: &str = "mount -t tmpfs -o size=80M tmpfs /memory && dd if=/dev/zero of=/memory/zeros bs=1M count=64";

/// An L2 that is a hypervisor writes its page of registers on CPU 1, without an exit: each time the log is cleared, the page
/// is soon in it again, and never a page of its own.
fn registers_are_logged(name: &str) -> Result {
    const ROUNDS: usize = 5;
    let mut machine = faulty::start(faulty::builder(name, "nested-smp")?.smp(2))?;
    let lines = machine.console_lines();
    let page = lines.iter().find_map(|line| line.trim_end().strip_prefix("P PAGE 0x"));
    let page = u64::from_str_radix(page.unwrap_or_default(), 16).context("P PAGE")?;
    let row = format!("{page:#018x}-{:#018x}         4K L1", page + 4096);
    let mut console = machine.debug_console()?;
    console.set_limit(entry::LIMIT);
    let before = console.command("ptdump host")?;
    expect(&mut console, "dirty start", "are logged")?;
    for round in 0..ROUNDS {
        let deadline = Instant::now() + entry::LIMIT;
        loop {
            let report = console.command("dirty report -c")?;
            if report.contains(&row) {
                break;
            }
            if Instant::now() > deadline {
                return Err(format!("round {round}: no {row:?} in {report:?}").into());
            }
        }
    }
    expect(&mut console, "dirty stop", "are as after boot")?;
    ensure_same(&before, &console.command("ptdump host")?)?;
    expect(&mut console, "audit", "0 findings")?;
    Ok(())
}

fn is_logged(name: &str) -> Result {
    let mut machine = scene::l1_with_a_shell(name)?;
    scene::start_l2(&mut machine)?;
    let mut console = machine.debug_console()?;
    console.set_limit(entry::LIMIT);
    let before = console.command("ptdump host")?;
    let frames_before = host_frames(&mut console)?;

    check_split(&mut console, &before)?;
    check_errors(&mut console)?;
    expect(&mut console, "dirty start", "are logged")?;
    let host = console.command("ptdump host | grep BLK | grep x")?;
    let ram = host.iter().filter(|line| line.contains(" px ux "));
    ensure_none(ram.collect(), "RAM that is logged is mapped by blocks")?;
    machine.send(&format!("{WRITE}; {}", scene::echo("a file")))?;
    machine.wait_for(&scene::said("a file"))?;
    let first = console.command("dirty report -c")?;
    check_report(&first)?;
    // L2 idles now: what was written since is less, however long that took.
    let second = console.command("dirty report")?;
    let (many, few) = (pages(&first)?, pages(&second)?);
    ensure_less(few, many)?;

    expect(&mut console, "dirty stop", "are as after boot")?;
    ensure_same(&before, &console.command("ptdump host")?)?;
    ensure_same(&[frames_before], &[host_frames(&mut console)?])?;
    Ok(())
}

/// Frames that are neither free nor a shadow's.
fn host_frames(console: &mut Console) -> AnyResult<String> {
    let lines = console.command("stop")?;
    ensure!(lines == ["stopped"], "{lines:?}");
    let lines = console.command("shadow")?;
    console.command("cont")?;
    let number = |word: Option<&str>| word.and_then(|word| word.parse::<u64>().ok());
    let [.., sum, frames] = &lines[..] else {
        anyhow::bail!("`shadow`: {lines:?}")
    };
    let pages = number(
        sum.rsplit_once(" table pages")
            .and_then(|(rest, _)| rest.rsplit(' ').next()),
    );
    let mut words = frames.split(' ');
    let (free, all) = (number(words.next()), number(words.nth(1)));
    match (pages, free, all) {
        (Some(pages), Some(free), Some(all)) => Ok(format!("{} frames", all - free - pages)),
        _ => anyhow::bail!("`shadow` ends with {sum:?}, {frames:?}"),
    }
}

fn check_split(console: &mut Console, before: &[String]) -> AnyResult<()> {
    expect(console, "split 0x80000000+4M", "4 MiB are mapped by pages")?;
    let range = "0x0000000080000000-0x0000000080400000           4M 3   R W px ux  AF";
    let lines = console.command("ptdump host")?;
    ensure!(
        lines.iter().any(|line| line.starts_with(range)),
        "no {range:?} in {lines:?}"
    );
    expect(console, "dirty stop", "are as after boot")?;
    ensure_same(before, &console.command("ptdump host")?)
}

fn check_errors(console: &mut Console) -> AnyResult<()> {
    let commands = [
        "dirty",
        "dirty report",
        "dirty start 0x2000-0x1000",
        "dirty begin",
        "split",
    ];
    expect_errors(console, &commands)
}

fn check_report(lines: &[String]) -> AnyResult<()> {
    for writer in [" L1", " shadow/"] {
        ensure!(
            lines.iter().any(|line| line.contains(writer)),
            "nothing by{writer} in {lines:?}"
        );
    }
    // What L2 was told to write, at the least.
    let pages = pages(lines)?;
    ensure!(pages > (64 << 20) / 4096, "{pages} pages only");
    Ok(())
}

/// The number at the end of a report.
fn pages(lines: &[String]) -> AnyResult<u64> {
    let sum = lines.last().and_then(|line| line.split(' ').next());
    let pages = sum.and_then(|word| word.parse().ok());
    pages.ok_or_else(|| anyhow::anyhow!("the report ends with {:?}", lines.last()))
}

fn expect(console: &mut Console, command: &str, end: &str) -> AnyResult<()> {
    let answer = console.command(command)?;
    ensure!(
        matches!(&answer[..], [one] if one.ends_with(end)),
        "`{command}`: {answer:?}"
    );
    Ok(())
}

fn ensure_same(before: &[String], after: &[String]) -> AnyResult<()> {
    ensure!(before == after, "before {before:?}, after {after:?}");
    Ok(())
}

fn ensure_less(few: u64, many: u64) -> AnyResult<()> {
    ensure!(few < many, "{few} pages after the log was cleared, {many} before");
    Ok(())
}

fn ensure_none(lines: Vec<&String>, what: &str) -> AnyResult<()> {
    ensure!(lines.is_empty(), "{what}: {lines:?}");
    Ok(())
}
