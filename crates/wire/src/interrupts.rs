//! Rows about interrupts and timers.

use core::fmt;

use serde::Serialize;

use crate::Hex;

/// A timer.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Timer<'a> {
    /// The vCPU.
    pub vcpu: usize,
    /// `CNTHP`, `CNTHV`, `CNTP` or `CNTV`; `wake-up` for gnomon's own.
    pub timer: &'a str,
    /// `L1`, `L2` or `hw`.
    pub whose: &'a str,
    /// `hardware` if a timer of the CPU counts for it, `software` if gnomon does.
    pub place: &'a str,
    /// The interrupt it asserts.
    pub intid: u32,
    /// Its control register, with `ISTATUS`.
    pub ctl: Hex,
    /// Its compare value.
    pub cval: Hex,
    /// What its counter says.
    pub count: Hex,
    /// Ticks from now to its compare value; negative when that is past.
    pub ticks: i64,
    /// The same in microseconds.
    pub microseconds: i64,
}

impl Timer<'_> {
    /// The heads of the columns.
    pub const HEADING: &'static str = "vCPU timer    whose place     INTID state    compare value      from now";
    const ENABLE: u64 = 1 << 0;
    const IMASK: u64 = 1 << 1;
    const ISTATUS: u64 = 1 << 2;

    fn state(&self) -> &'static str {
        match self.ctl.0 {
            ctl if ctl & Self::ENABLE == 0 => "off",
            ctl if ctl & Self::ISTATUS == 0 => "waiting",
            ctl if ctl & Self::IMASK != 0 => "masked",
            _ => "asserted",
        }
    }
}

record!(Timer<'_>, "timer");

impl fmt::Display for Timer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>4} {:<8} {:<5} {:<9} {:>5} {:<8} {:#018x}",
            self.vcpu,
            self.timer,
            self.whose,
            self.place,
            self.intid,
            self.state(),
            self.cval.0
        )?;
        if self.ctl.0 & Self::ENABLE == 0 {
            return Ok(());
        }
        write!(f, " {} us", self.microseconds)
    }
}

/// The counters of a vCPU.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Counter {
    /// The vCPU.
    pub vcpu: usize,
    /// The physical counter, `CNTPCT_EL0`.
    pub physical: Hex,
    /// L1's `CNTVOFF_EL2`: the virtual counter of its guest is behind by this.
    pub offset: Hex,
    /// Ticks a second.
    pub frequency: u64,
}

record!(Counter, "counter");

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "vCPU {}: counter {}, CNTVOFF_EL2 {} for L2, {} ticks a second",
            self.vcpu, self.physical, self.offset, self.frequency
        )
    }
}

/// An interrupt of L1's GIC that is not idle.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Interrupt {
    /// The vCPU that has it, for an SGI or PPI.
    pub vcpu: Option<usize>,
    /// Its number.
    pub intid: u32,
    /// Whether L1 has enabled it.
    pub enabled: bool,
    /// Whether it waits to be taken.
    pub pending: bool,
    /// Whether it has been taken and not finished.
    pub active: bool,
    /// Whether it is edge-triggered.
    pub edge: bool,
    /// The level of its line.
    pub line: bool,
    /// 1 (IRQ) or 0 (FIQ).
    pub group: u8,
    /// Lower is more urgent.
    pub priority: u8,
    /// The physical interrupt that is active on its behalf.
    pub physical: Option<u32>,
    /// The vCPU whose list registers hold it.
    pub resident: Option<usize>,
    /// The vCPU it goes to.
    pub target: Option<usize>,
}

impl Interrupt {
    /// The heads of the columns.
    pub const HEADING: &'static str =
        "vCPU INTID state                     trigger line group prio  to physical listed on";
}

record!(Interrupt, "interrupt");

/// A number or a dash, in a column.
struct OrDash<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for OrDash<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.pad("-"),
        }
    }
}

impl fmt::Display for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |is: bool, word: &'static str| if is { word } else { "" };
        write!(
            f,
            "{:>4} {:>5} {:<9}{:<9}{:<7} {:<7} {:<4} {:>5} {:>#4x} {:>3} {:>8} {:>9}",
            OrDash(self.vcpu),
            self.intid,
            if self.enabled { "enabled" } else { "disabled" },
            word(self.pending, "pending"),
            word(self.active, "active"),
            if self.edge { "edge" } else { "level" },
            if self.line { "high" } else { "low" },
            self.group,
            self.priority,
            OrDash(self.target),
            OrDash(self.physical),
            OrDash(self.resident),
        )
    }
}

/// A virtual CPU interface.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Interface<'a> {
    /// The vCPU.
    pub vcpu: usize,
    /// For whom it is: `L1` or `L2`.
    pub whose: &'a str,
    /// Where these values are: `hardware`, `saved` by gnomon, or the VNCR `page`.
    pub place: &'a str,
    /// `ICH_HCR_EL2`
    pub hcr: Hex,
    /// `ICH_VMCR_EL2`
    pub vmcr: Hex,
    /// Priority of what is active; 255 for nothing.
    pub running: u8,
    /// Only more urgent priorities are signalled.
    pub mask: u8,
    /// `ICH_MISR_EL2`: why the maintenance interrupt is asserted.
    pub misr: Hex,
    /// Whether the CPU has taken the maintenance interrupt for this interface, and keeps it until the guest is left.
    pub is_maintenance_active: bool,
}

record!(Interface<'_>, "interface");

impl fmt::Display for Interface<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "interface of {} on vCPU {} ({}): HCR {} VMCR {} running priority {:#x} mask {:#x} maintenance {}",
            self.whose, self.vcpu, self.place, self.hcr, self.vmcr, self.running, self.mask, self.misr
        )?;
        f.write_str(if self.is_maintenance_active { " (taken)" } else { "" })
    }
}

/// A list register that holds an interrupt.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ListRegister<'a> {
    /// The vCPU.
    pub vcpu: usize,
    /// Whose interface it belongs to: `L1` or `L2`.
    pub whose: &'a str,
    /// Its number.
    pub index: usize,
    /// `pending`, `active`, `pending and active`, or `ended` for one that only has its end to report.
    pub state: &'a str,
    /// The interrupt as the guest sees it.
    pub intid: u32,
    /// The physical interrupt that ends with it. In L1's registers for its guest that is one of L1's.
    pub physical: Option<u32>,
    /// Lower is more urgent.
    pub priority: u8,
    /// 1 (IRQ) or 0 (FIQ).
    pub group: u8,
    /// Whether its end raises the maintenance interrupt.
    pub eoi: bool,
    /// The whole register.
    pub value: Hex,
}

record!(ListRegister<'_>, "list_register");

impl fmt::Display for ListRegister<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  LR{:<2} {:#018x} INTID {} {} priority {:#x} group {}",
            self.index, self.value.0, self.intid, self.state, self.priority, self.group
        )?;
        if let Some(physical) = self.physical {
            write!(f, " ends physical {physical}")?;
        }
        f.write_str(if self.eoi { " reports its end" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    const TIMER: Timer<'_> = Timer {
        vcpu: 0,
        timer: "CNTV",
        whose: "L2",
        place: "software",
        intid: 27,
        ctl: Hex(1),
        cval: Hex(0x2000),
        count: Hex(0x1000),
        ticks: 0x1000,
        microseconds: 65,
    };

    #[test]
    fn timer_says_what_it_does_and_when() {
        assert_eq!(
            TIMER.to_string(),
            "   0 CNTV     L2    software     27 waiting  0x0000000000002000 65 us"
        );
        let state = |ctl| Timer { ctl: Hex(ctl), ..TIMER }.state();
        assert_eq!(
            [0, 1, 3, 5, 7].map(state),
            ["off", "waiting", "waiting", "asserted", "masked"]
        );
        assert!(!Timer { ctl: Hex(0), ..TIMER }.to_string().contains("us"));
    }

    #[test]
    fn columns_of_an_interrupt_stand_under_their_heads() {
        let interrupt = Interrupt {
            vcpu: None,
            intid: 33,
            enabled: true,
            pending: true,
            active: false,
            edge: false,
            line: true,
            group: 1,
            priority: 0xa0,
            physical: Some(33),
            resident: Some(0),
            target: Some(0),
        };
        let line = interrupt.to_string();
        assert_eq!(line.len(), Interrupt::HEADING.len(), "{line}");
        assert_eq!(line.split_whitespace().count(), 11, "{line}");
    }
}
