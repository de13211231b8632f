//! What differs between two looks at a table: nothing while all is stopped, what was dropped after a drop, and what comes
//! back while it comes back.

use std::ops::Range;

use anyhow::{Context, Result as AnyResult, ensure};
use libtest_mimic::Trial;
use xtask::console::Console;

use crate::answers::{expect_answer, expect_errors};
use crate::{Result, entry, scene, trial};

/// Has L2 write a file of 80 MiB, and read a page of each block of that, with a pause between two.
const FILL: &str = "mount -t tmpfs -o size=90M tmpfs /memory && dd if=/dev/zero of=/memory/zeros bs=1M count=80";
const READ: &str = "for mib in $(seq 0 2 78); do \
                    dd if=/memory/zeros of=/dev/null bs=1M skip=$mib count=1 2>/dev/null; sleep 2; done &\n";
/// More blocks than may come that are new.
const NEW_BLOCKS_MAX: usize = 100;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("snapshots_tell_what_went_and_what_came_back", tell)]
}

fn tell(name: &str) -> Result {
    let mut machine = scene::l1_with_a_shell(name)?;
    scene::start_l2(&mut machine)?;
    machine.send(&format!("{FILL}; {}", scene::echo("a file")))?;
    machine.wait_for(&scene::said("a file"))?;
    let mut console = machine.debug_console()?;
    console.set_limit(entry::LIMIT);
    let tables = console.command("ptdump")?;
    let mut names = tables.iter().filter(|name| name.contains("s2-enabled"));
    let shadow = names.find(|name| name.starts_with("shadow/"));
    let shadow = shadow.ok_or("no shadow of L2 is listed")?.clone();

    check_errors(&mut console, &shadow)?;
    let gone = check_stopped(&mut console, &shadow)?;
    // From now on L2 takes back a block every other second.
    machine.send(READ)?;
    check_watch(&mut console, &shadow, &gone)?;
    forget(&mut console)?;
    Ok(())
}

/// While all is stopped: two looks are alike whatever the table, and a drop is what it says. Gives what was dropped.
fn check_stopped(console: &mut Console, shadow: &str) -> AnyResult<Vec<String>> {
    expect_answer(console, "stop", "stopped")?;
    for table in &console.command("ptdump")? {
        let taken = console.command(&format!("snap look {table}"))?;
        if taken.iter().all(|line| line.starts_with("error: ")) {
            // A vCPU that is off, or has had no guest.
            ensure!(table.starts_with("s1/"), "`snap look {table}`: {taken:?}");
            continue;
        }
        ensure!(
            taken.len() == 1 && taken[0].starts_with(&format!("look: {table}, ")),
            "{taken:?}"
        );
        expect_answer(console, "diff look", "no difference")?;
    }
    let before = console.command(&format!("snap before {shadow}"))?;
    let kib = number_before(&before, " KiB in ")?;
    let dropped = console.command(&format!("drop {shadow}"))?;
    ensure!(
        number_before(&dropped, " KiB dropped")? == kib,
        "{before:?}, but {dropped:?}"
    );
    console.command(&format!("snap after {shadow}"))?;

    let ranges = console.command(&format!("ptdump -p {shadow} | grep R"))?;
    ensure!(ranges.is_empty(), "dropped, and still there: {ranges:?}");
    let mut gone = console.command("diff before")?;
    ensure!(
        gone == console.command("diff before after")?,
        "a table changed while stopped"
    );
    let sum = gone.pop().context("`diff` says nothing")?;
    ensure!(
        sum.ends_with(&format!("differ: {kib} KiB gone, 0 KiB new, 0 KiB changed")),
        "{kib} KiB were dropped, but: {sum}"
    );
    ensure!(gone.iter().all(|line| line.starts_with("- 0x")), "{gone:?}");
    let back = console.command("diff after before")?;
    let mirrored = gone.iter().map(|line| line.replacen('-', "+", 1));
    ensure!(mirrored.eq(back.iter().take(gone.len()).cloned()), "{back:?}");
    expect_answer(console, "cont", "running")?;
    Ok(gone)
}

/// L2 goes on, and takes back what it uses: at the places where it was.
fn check_watch(console: &mut Console, shadow: &str, gone: &[String]) -> AnyResult<()> {
    let went: Vec<Block> = gone.iter().filter_map(|line| Block::of(line)).collect();
    for _ in 0..NEW_BLOCKS_MAX {
        let seen = console.command(&format!("watch {shadow} | grep BLK | head 1"))?;
        let [line] = &seen[..] else {
            anyhow::bail!("`watch`: {seen:?}")
        };
        ensure!(line.starts_with("+ 0x"), "{line}");
        let came = Block::of(line).with_context(|| format!("`watch`: {line}"))?;
        // L2 may use memory meanwhile that it has not used before.
        if let Some(block) = went.iter().find(|block| block.ipas.contains(&came.ipas.start)) {
            ensure!(came.offset == block.offset, "{line} was elsewhere in {gone:?}");
            return Ok(());
        }
    }
    anyhow::bail!("nothing of {gone:?} comes back")
}

/// A range of blocks, in a line of `diff` or `watch`.
struct Block {
    ipas: Range<u64>,
    /// From an IPA to the output address.
    offset: u64,
}

impl Block {
    fn of(line: &str) -> Option<Self> {
        let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
        let mut words = line.contains("BLK").then(|| line.split_whitespace().skip(1))?;
        let (start, end) = words.next()?.split_once('-')?;
        let ipas = number(start)?..number(end)?;
        let output = words.filter(|word| word.starts_with("0x")).last().and_then(number)?;
        let offset = output.wrapping_sub(ipas.start);
        Some(Self { ipas, offset })
    }
}

fn check_errors(console: &mut Console, shadow: &str) -> AnyResult<()> {
    let upside_down = format!("snap a {shadow} 0x2000-0x1000");
    let commands = [
        "diff",
        "diff nothing",
        "snap -d nothing",
        "snap a",
        "snap -x host",
        "snap a nothing",
        "snap a-very-long-name-indeed host",
        "watch",
        "watch nothing",
        &upside_down,
    ];
    expect_errors(console, &commands)
}

fn forget(console: &mut Console) -> AnyResult<()> {
    for name in ["look", "before", "after"] {
        let answer = console.command(&format!("snap -d {name}"))?;
        ensure!(answer.is_empty(), "{answer:?}");
    }
    let left = console.command("snap")?;
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

/// The number in front of `text`, in an answer of one line.
fn number_before(answer: &[String], text: &str) -> AnyResult<u64> {
    let [line] = answer else { anyhow::bail!("{answer:?}") };
    let number = line.split(text).next().and_then(|rest| rest.rsplit(' ').next());
    Ok(number.context("no number")?.parse()?)
}
