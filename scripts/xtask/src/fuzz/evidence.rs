//! What of gnomon's memory must not change while it runs, and whether it did.
//!
//! That is what the ELF says cannot be written, the RAM below the image, the tables of EL2's own translation and of host
//! stage 2, the guard pages of the stacks and the stacks of CPUs that are not there, and the frames that it has no use for.
//! The rest may: data, the heap, stacks in use, the pages of the vCPUs' registers, and shadows.

use std::collections::BTreeSet;
use std::ops::Range;

use anyhow::{Context, Result, ensure};

use super::frames;
use super::ram::{PAGE_BYTES, Ram};
use crate::console::Console;
use crate::elf;

/// Of `linker.ld`.
const STACK_BYTES: u64 = 64 << 10;
const CPU_COUNT_MAX: u64 = 8;

/// Frames between those in use and those that are filled: some may be taken meanwhile.
const MARGIN: u64 = 64 * PAGE_BYTES;

/// Ranges of memory as they were, and frames with a pattern.
#[derive(Debug)]
pub(super) struct Evidence {
    constant: Vec<Constant>,
    frames: Range<u64>,
}

#[derive(Debug)]
struct Constant {
    name: &'static str,
    at: u64,
    bytes: Vec<u8>,
}

/// gnomon as it was built, and what it says of itself.
pub(super) struct Subject<'a> {
    pub(super) elf: &'a [u8],
    /// The line of its log about the carve-out.
    pub(super) log: &'a str,
    pub(super) cpu_count: u64,
}

impl Evidence {
    /// Takes down what is to stay, and plants patterns, while L1 does nothing.
    pub(super) fn gather(ram: &Ram, subject: &Subject<'_>, console: &mut Console) -> Result<Self> {
        let (start, end, pages) = carve_out(subject.log).context("the log does not say where gnomon's memory is")?;
        let free = free_frames(&console.command("shadow")?).context("`shadow` does not count frames")?;
        let mut constant = Vec::new();
        for (at, bytes) in elf::constant_segments(subject.elf)? {
            constant.push(Constant {
                name: "the image",
                at,
                bytes,
            });
        }
        let image = constant.iter().map(|range| range.at).min().context("an empty image")?;
        let mut keep = |name, at, bytes| -> Result<()> {
            let bytes = ram.read(at, bytes)?;
            constant.push(Constant { name, at, bytes });
            Ok(())
        };
        keep("the RAM below the image", start, image - start)?;
        for (name, table) in [("EL2's own tables", "el2"), ("host stage 2", "host")] {
            let root = root(&console.command(&format!("explain {table} {image:#x}"))?)
                .with_context(|| format!("`explain {table}` names no root"))?;
            let mut tables = BTreeSet::new();
            tables_below(ram, root, 0, &mut tables)?;
            for table in tables {
                keep(name, table, PAGE_BYTES)?;
            }
        }
        for range in unused_stacks(subject)? {
            let words: Vec<u64> = (range.start..range.end).step_by(8).map(|at| !at).collect();
            ram.write(range.start, &words)?;
            keep("stacks that nobody uses", range.start, range.end - range.start)?;
        }
        ensure!(pages >= free, "more frames are free than there are");
        let first = end - free * PAGE_BYTES + MARGIN;
        let frames = first..end;
        frames::plant(ram, &frames)?;
        Ok(Self { constant, frames })
    }

    /// How many bytes are compared.
    pub(super) fn bytes(&self) -> u64 {
        let constant: usize = self.constant.iter().map(|range| range.bytes.len()).sum();
        constant as u64 + self.frames.end - self.frames.start
    }

    /// A byte in each range that is to stay, with the range's name, and words of frames that nobody has taken: the first,
    /// the last and one between.
    pub(super) fn samples(&self) -> Vec<(&'static str, u64)> {
        let last = |range: &Constant| (range.name, range.at + range.bytes.len() as u64 - 1);
        let frames = [
            self.frames.start + 8,
            u64::midpoint(self.frames.start, self.frames.end) & !7,
            self.frames.end - 8,
        ];
        let frames = frames.map(|at| ("a free frame", at));
        self.constant.iter().map(last).chain(frames).collect()
    }

    /// What has changed.
    pub(super) fn complaints(&self, ram: &Ram) -> Result<Vec<String>> {
        let mut complaints = frames::complaints(ram, &self.frames)?;
        for range in &self.constant {
            let now = ram.read(range.at, range.bytes.len() as u64)?;
            let changed = now.iter().zip(&range.bytes).filter(|(now, then)| now != then).count();
            if let Some(first) = now.iter().zip(&range.bytes).position(|(now, then)| now != then) {
                complaints.push(format!(
                    "{}: {changed} bytes changed from {:#x} on",
                    range.name,
                    range.at + first as u64
                ));
            }
        }
        Ok(complaints)
    }
}

/// Guard pages, stacks of CPUs that there are not, and all emergency stacks.
fn unused_stacks(subject: &Subject<'_>) -> Result<Vec<Range<u64>>> {
    let symbol = |name| elf::symbol(subject.elf, name)?.with_context(|| format!("gnomon's ELF has no {name}"));
    let stacks = symbol("__stacks_start")?..symbol("__stacks_end")?;
    let emergency = symbol("__emergency_stacks_start")?..symbol("__emergency_stacks_end")?;
    let stride = STACK_BYTES + PAGE_BYTES;
    ensure!(
        stacks.end - stacks.start == stride * CPU_COUNT_MAX,
        "the stacks are not as linker.ld had them"
    );
    let of_cpu = |cpu| stacks.start + cpu * stride;
    let guards = (0..subject.cpu_count).map(|cpu| of_cpu(cpu)..of_cpu(cpu) + PAGE_BYTES);
    let idle = of_cpu(subject.cpu_count)..stacks.end;
    Ok(guards
        .chain([idle, emergency])
        .filter(|range| !range.is_empty())
        .collect())
}

/// The tables from `table` on, all of gnomon's. Both stages have the same form.
fn tables_below(ram: &Ram, table: u64, level: u32, found: &mut BTreeSet<u64>) -> Result<()> {
    const ADDRESS: u64 = 0xffff_ffff_f000;
    const TABLE: u64 = 3;
    const LAST_LEVEL: u32 = 3;
    if !found.insert(table) || level == LAST_LEVEL {
        return Ok(());
    }
    for entry in ram.words(table, PAGE_BYTES)? {
        if entry & 3 == TABLE {
            tables_below(ram, entry & ADDRESS, level + 1, found)?;
        }
    }
    Ok(())
}

/// Start and end of the carve-out, and frames in it: `carve-out 0x..-0x.., 12329 table pages; ..`.
fn carve_out(line: &str) -> Option<(u64, u64, u64)> {
    let (_, rest) = line.split_once("carve-out ")?;
    let (range, rest) = rest.split_once(", ")?;
    let (start, end) = range.split_once('-')?;
    let pages = rest.split(' ').next()?.parse().ok()?;
    Some((hex(start)?, hex(end)?, pages))
}

/// Frames that are free: `12290 of 12329 frames for tables are free`.
fn free_frames(lines: &[String]) -> Option<u64> {
    let line = lines.iter().find(|line| line.ends_with("frames for tables are free"))?;
    line.split(' ').next()?.parse().ok()
}

/// The root of a table: `.. root 0x413d7000`.
fn root(lines: &[String]) -> Option<u64> {
    let (_, root) = lines.iter().find_map(|line| line.split_once(" root "))?;
    hex(root.split([',', ' ']).next()?)
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gnomons_own_words_are_understood() {
        let line = "[gnomon] carve-out 0x40000000-0x44400000, 12329 table pages; DMA of L1's devices is not confined";
        assert_eq!(carve_out(line), Some((0x4000_0000, 0x4440_0000, 12_329)));
        let shadow = [
            "0 of 64 shadows, 0 table pages",
            "12290 of 12329 frames for tables are free",
        ];
        assert_eq!(free_frames(&shadow.map(str::to_owned)), Some(12_290));
        let explain = ["host    4K granule, 48-bit input from level 0, 48-bit output, root 0x413d7000".to_owned()];
        assert_eq!(root(&explain), Some(0x413d_7000));
    }
}
