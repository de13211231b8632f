//! Rows of the short listings: commands, page tables, shadows, exits.

use core::fmt;

use serde::Serialize;

/// A command of the console.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Command<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its name and arguments.
    pub usage: &'a str,
    /// What it shows or does.
    pub help: &'a str,
    /// A line to try.
    pub example: &'a str,
}

record!(Command<'_>, "command");

impl fmt::Display for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<32} {}", self.usage, self.help)
    }
}

/// All there is to say about a command. To a program it is the same as in the list.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Manual<'a>(pub Command<'a>);

record!(Manual<'_>, "command");

impl fmt::Display for Manual<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Command {
            usage, help, example, ..
        } = self.0;
        write!(f, "usage: {usage}\n{help}\nexample: {example}")
    }
}

/// A page table that there is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Table<'a> {
    /// Its name, as `ptdump` takes it.
    pub table: &'a str,
}

record!(Table<'_>, "table");

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.table)
    }
}

/// The levels of a table's walk, as Linux prints them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Levels {
    /// 1 to 5.
    pub levels: u32,
}

record!(Levels, "levels");

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:1}", self.levels)
    }
}

/// The bits of a stage 2's input address, as Linux prints them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct IpaRange {
    /// 25 to 52.
    pub bits: u32,
}

record!(IpaRange, "ipa_range");

impl fmt::Display for IpaRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:2}", self.bits)
    }
}

/// A shadow stage 2.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Shadow<'a> {
    /// Its place in the pool.
    pub number: u16,
    /// The VMID it runs under.
    pub vmid: u16,
    /// The CPUs that run on it.
    pub refs: u32,
    /// When it was used last: greater is later.
    pub last_use: u64,
    /// Faults that were handled on it.
    pub faults: u64,
    /// Pages of its table.
    pub table_pages: u64,
    /// Bytes mapped by leaves of level 3.
    pub mapped_4k: u64,
    /// Bytes mapped by leaves of level 2.
    pub mapped_2m: u64,
    /// Bytes mapped by leaves of level 1.
    pub mapped_1g: u64,
    /// KVM's name for the same context.
    pub name: &'a str,
}

impl Shadow<'_> {
    /// The heads of the columns.
    pub const HEADING: &'static str = " no  vmid refs  last use    faults  pages       4K       2M       1G name";
}

record!(Shadow<'_>, "shadow");

impl fmt::Display for Shadow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>3} {:>5} {:>4} {:>9} {:>9} {:>6} {:>8} {:>8} {:>8} {}",
            self.number,
            self.vmid,
            self.refs,
            self.last_use,
            self.faults,
            self.table_pages,
            Size(self.mapped_4k),
            Size(self.mapped_2m),
            Size(self.mapped_1g),
            self.name,
        )
    }
}

/// Bytes, in the largest unit in which they are a whole number.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            0 => (0, ""),
            bytes if bytes % (1 << 30) == 0 => (bytes >> 30, "G"),
            bytes if bytes % (1 << 20) == 0 => (bytes >> 20, "M"),
            bytes => (bytes >> 10, "K"),
        };
        let width = f.width().unwrap_or(0).saturating_sub(unit.len());
        write!(f, "{value:width$}{unit}")
    }
}

/// All shadows together, and the frames that tables are made of.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ShadowSum {
    /// Shadows there are.
    pub shadows: usize,
    /// Shadows there can be.
    pub shadows_max: usize,
    /// Pages of all their tables.
    pub table_pages: u64,
    /// Frames for tables that are free; unknown after a panic.
    pub frames_free: Option<usize>,
    /// Frames for tables.
    pub frames: Option<usize>,
}

record!(ShadowSum, "shadow_sum");

impl fmt::Display for ShadowSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} shadows, {} table pages",
            self.shadows, self.shadows_max, self.table_pages
        )?;
        match (self.frames_free, self.frames) {
            (Some(free), Some(all)) => write!(f, "\n{free} of {all} frames for tables are free"),
            _ => Ok(()),
        }
    }
}

/// Exits of one cause.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Exit<'a> {
    /// The exception class, `IRQ`, or `total`.
    pub cause: &'a str,
    /// Who exited and who dealt with it: `L1`, `L2`, `L2>L1`.
    pub whose: &'a str,
    /// How often.
    pub count: u64,
    /// The cheapest one's cost in ticks.
    pub min: u64,
    /// The mean cost in ticks.
    pub mean: u64,
    /// The dearest one's cost in ticks.
    pub max: u64,
}

impl Exit<'_> {
    /// The heads of the columns.
    pub const HEADING: &'static str = "cause        whose         count        min       mean        max";
}

record!(Exit<'_>, "exit");

impl fmt::Display for Exit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<12} {:<6} {:>12} {:>10} {:>10} {:>10}",
            self.cause, self.whose, self.count, self.min, self.mean, self.max
        )
    }
}

/// Exits by access to one system register, or by one instruction.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RegisterExit<'a> {
    /// Which.
    pub register: &'a str,
    /// As in [`Exit`].
    pub whose: &'a str,
    /// How often.
    pub count: u64,
    /// The cheapest one's cost in ticks.
    pub min: u64,
    /// The mean cost in ticks.
    pub mean: u64,
    /// The dearest one's cost in ticks.
    pub max: u64,
}

impl RegisterExit<'_> {
    /// The heads of the columns.
    pub const HEADING: &'static str = "register             whose         count        min       mean        max";
}

record!(RegisterExit<'_>, "exit_register");

impl fmt::Display for RegisterExit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<20} {:<6} {:>12} {:>10} {:>10} {:>10}",
            self.register, self.whose, self.count, self.min, self.mean, self.max
        )
    }
}

/// What there is to say of all exits.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ExitSum {
    /// Exits that were answered by an exception because nothing else is there for them.
    pub unhandled: u64,
    /// How often a CPU has waited for a shadow that another had, since boot.
    pub shadow_waits: u64,
    /// Ticks of a second.
    pub ticks_per_second: u64,
}

record!(ExitSum, "exit_sum");

impl fmt::Display for ExitSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} times something was not emulated\n{} times a CPU waited for a shadow\n{} ticks are a second",
            self.unhandled, self.shadow_waits, self.ticks_per_second
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn columns_stand_below_their_heads() {
        let shadow = Shadow {
            number: 1,
            vmid: 3,
            refs: 1,
            last_use: 12,
            faults: 345,
            table_pages: 6,
            mapped_4k: 640 << 10,
            mapped_2m: 0,
            mapped_1g: 1 << 30,
            name: "NAME",
        };
        let text = shadow.to_string();
        assert_eq!(
            text,
            "  1     3    1        12       345      6     640K        0       1G NAME"
        );
        assert_eq!(text.find("NAME"), Shadow::HEADING.find("name"));
        let exit = Exit {
            cause: "ERET",
            whose: "L1",
            count: 7,
            min: 1,
            mean: 2,
            max: 3,
        };
        assert_eq!(exit.to_string().len(), Exit::HEADING.len());
        assert_eq!(exit.to_string().find("L1"), Exit::HEADING.find("whose"));
    }

    #[test]
    fn frames_are_left_out_where_nobody_knows() {
        let sum = ShadowSum {
            shadows: 1,
            shadows_max: 64,
            table_pages: 5,
            frames_free: None,
            frames: None,
        };
        assert_eq!(sum.to_string(), "1 of 64 shadows, 5 table pages");
        assert!(serde_json::to_string(&sum).unwrap().contains("\"frames\":null"));
    }
}
