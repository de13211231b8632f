//! Random histories against a ledger that knows only the architecture's promises:
//!
//! - an edge is acknowledged once, on the vCPU it is routed to, and never while disabled or active
//!   (a second edge of a device before the first is acknowledged may merge with it, or wait in the
//!   physical GIC and come as a second interrupt);
//! - a level is acknowledged while it is high (or has been since it was last acknowledged, for a
//!   line that the hardware watches);
//! - nothing is lost: when L1 handles everything, nothing stays pending, no line stays high, and no
//!   physical interrupt stays active;
//! - each physical interrupt is deactivated once for each time it was passed on (the machine in
//!   `machine` fails a second time by itself).

#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod machine;

use std::collections::{BTreeMap, BTreeSet};

use machine::*;
use proptest::prelude::*;
use vgic::{SgiRegister, vmcr};

const CPUS: usize = 2;
const SGI: u32 = 3;
const EMULATED_PPI: u32 = 25;
const TIMER_PPI: u32 = 27;
const EDGE_SPIS: [u32; 4] = [40, 41, 70, 71];
const LEVEL_SPIS: [u32; 4] = [44, 45, 74, 75];

fn interrupts() -> Vec<u32> {
    let mut all = vec![SGI, EMULATED_PPI, TIMER_PPI];
    all.extend(EDGE_SPIS);
    all.extend(LEVEL_SPIS);
    all
}

#[derive(Clone, Debug)]
enum Step {
    Pulse(u32),
    Drive(u32, bool),
    Timer(usize, bool),
    Emulated(usize, bool),
    Sgi(usize, usize),
    Enable(usize, u32, bool),
    SetPending(usize, u32),
    ClearPending(usize, u32),
    Priority(usize, u32, u8),
    Route(u32, u64),
    Group(bool),
    Acknowledge(usize),
    End(usize),
    Deactivate(usize, usize, bool),
    Exit(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let cpu = || 0..CPUS;
    let edge = || prop::sample::select(&EDGE_SPIS[..]);
    let level = || prop::sample::select(&LEVEL_SPIS[..]);
    let spi = || prop_oneof![edge(), level()];
    let any_intid = || prop::sample::select(interrupts());
    let flag = any::<bool>;
    prop_oneof![
        4 => edge().prop_map(Step::Pulse),
        4 => (level(), flag()).prop_map(|(i, l)| Step::Drive(i, l)),
        3 => (cpu(), flag()).prop_map(|(c, l)| Step::Timer(c, l)),
        3 => (cpu(), flag()).prop_map(|(c, l)| Step::Emulated(c, l)),
        4 => (cpu(), cpu()).prop_map(|(f, t)| Step::Sgi(f, t)),
        3 => (cpu(), any_intid(), flag()).prop_map(|(c, i, e)| Step::Enable(c, i, e)),
        1 => (cpu(), any_intid()).prop_map(|(c, i)| Step::SetPending(c, i)),
        1 => (cpu(), any_intid()).prop_map(|(c, i)| Step::ClearPending(c, i)),
        2 => (cpu(), any_intid(), 0..31_u8).prop_map(|(c, i, p)| Step::Priority(c, i, p * 8)),
        2 => (spi(), prop::sample::select(&[0_u64, 1, 9][..])).prop_map(|(i, r)| Step::Route(i, r)),
        1 => flag().prop_map(Step::Group),
        10 => cpu().prop_map(Step::Acknowledge),
        6 => cpu().prop_map(Step::End),
        6 => (cpu(), 0..4_usize, flag()).prop_map(|(c, n, d)| Step::Deactivate(c, n, d)),
        3 => cpu().prop_map(Step::Exit),
    ]
}

/// What L1 and the devices know of one interrupt.
#[derive(Clone, Default)]
struct Entry {
    edge: bool,
    enabled: bool,
    /// An edge or a software latch after which there was no acknowledgement yet.
    owed: bool,
    /// How many acknowledgements edges and latches can still explain.
    allowed: u32,
    level: bool,
    /// The line has been high since the last acknowledgement.
    was_high: bool,
    active: bool,
}

struct History {
    machine: Machine,
    ledger: BTreeMap<(usize, u32), Entry>,
    routes: BTreeMap<u32, u64>,
    group: bool,
    split: bool,
    /// Acknowledged and not ended, per vCPU, the last one running.
    running: Vec<Vec<u32>>,
    /// Ended and not deactivated.
    waiting: Vec<Vec<u32>>,
}

impl Entry {
    fn raise(&mut self, most: u32) {
        self.owed = true;
        self.allowed = most.min(self.allowed + 1);
    }

    fn forget(&mut self) {
        self.owed = false;
        self.allowed = 0;
    }
}

/// SPIs are one interrupt for all vCPUs.
fn key(cpu: usize, intid: u32) -> (usize, u32) {
    (if intid < 32 { cpu } else { 0 }, intid)
}

impl History {
    fn new(lr_count: usize, split: bool) -> Self {
        let mut machine = Machine::new(CPUS, lr_count);
        let mut ledger = BTreeMap::new();
        for cpu in 0..CPUS {
            if !split {
                machine.vif[cpu].vmcr &= !vmcr::VEOIM;
            }
            for intid in interrupts() {
                machine.enable(cpu, intid);
                let edge = intid < 16 || EDGE_SPIS.contains(&intid);
                let entry = Entry {
                    edge,
                    enabled: true,
                    ..Entry::default()
                };
                ledger.insert(key(cpu, intid), entry);
            }
        }
        for intid in EDGE_SPIS {
            machine.set_edge(intid, true);
        }
        Self {
            machine,
            ledger,
            routes: BTreeMap::new(),
            group: true,
            split,
            running: vec![Vec::new(); CPUS],
            waiting: vec![Vec::new(); CPUS],
        }
    }

    fn entry(&mut self, cpu: usize, intid: u32) -> &mut Entry {
        self.ledger.get_mut(&key(cpu, intid)).unwrap()
    }

    fn level(&mut self, cpu: usize, intid: u32, level: bool) {
        let entry = self.entry(cpu, intid);
        entry.level = level;
        entry.was_high |= level;
        match intid {
            EMULATED_PPI => {
                self.machine.vgic.set_level(cpu, intid, level, &mut self.machine.hw);
                self.machine.settle();
                if !level {
                    self.entry(cpu, intid).was_high = false;
                }
            }
            TIMER_PPI => self.machine.drive_timer(cpu, level),
            _ => self.machine.drive(intid, level),
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Pulse(intid) => {
                self.entry(0, intid).raise(2);
                self.machine.pulse(intid);
            }
            Step::Drive(intid, level) => self.level(0, intid, level),
            Step::Timer(cpu, level) => self.level(cpu, TIMER_PPI, level),
            Step::Emulated(cpu, level) => self.level(cpu, EMULATED_PPI, level),
            Step::Sgi(from, to) => {
                self.entry(to, SGI).raise(1);
                let value = u64::from(SGI) << 24 | 1 << to;
                self.machine
                    .vgic
                    .send_sgi(from, SgiRegister::Sgi1, value, &mut self.machine.hw);
                self.machine.settle();
            }
            Step::Enable(cpu, intid, enabled) => self.enable(cpu, intid, enabled),
            Step::SetPending(cpu, intid) => {
                let entry = self.entry(cpu, intid);
                entry.raise(entry.allowed.max(1));
                self.machine.bit(cpu, ISPENDR, intid);
            }
            Step::ClearPending(cpu, intid) => {
                self.entry(cpu, intid).forget();
                self.machine.bit(cpu, ICPENDR, intid);
            }
            Step::Priority(cpu, intid, priority) => {
                // A new priority while active confuses the naive end of interrupts.
                if !self.entry(cpu, intid).active {
                    self.machine.set_priority(cpu, intid, priority);
                    self.machine.settle();
                }
            }
            Step::Route(intid, affinity) => {
                self.routes.insert(intid, affinity);
                self.machine.route(intid, affinity);
            }
            Step::Group(enabled) => {
                self.group = enabled;
                self.machine.gicd(0, 0, if enabled { 2 } else { 0 });
            }
            Step::Acknowledge(cpu) => {
                self.acknowledge(cpu);
            }
            Step::End(cpu) => self.end(cpu),
            Step::Deactivate(cpu, which, by_register) => self.deactivate(cpu, which, by_register),
            Step::Exit(cpu) => self.machine.exit(cpu),
        }
    }

    fn enable(&mut self, cpu: usize, intid: u32, enabled: bool) {
        self.entry(cpu, intid).enabled = enabled;
        let register = if enabled { ISENABLER } else { ICENABLER };
        self.machine.bit(cpu, register, intid);
    }

    fn acknowledge(&mut self, cpu: usize) -> Option<u32> {
        let intid = self.machine.acknowledge(cpu)?;
        let route = self.routes.get(&intid).copied().unwrap_or(0);
        assert!(self.group, "group disabled");
        assert!(intid < 32 || route == cpu as u64, "{intid} on the wrong vCPU");
        let entry = self.entry(cpu, intid);
        assert!(entry.enabled, "{intid} is disabled");
        assert!(!entry.active, "{intid} acknowledged twice");
        if entry.edge {
            assert!(entry.allowed > 0, "{intid} from nowhere");
        } else {
            assert!(
                entry.allowed > 0 || entry.was_high,
                "{intid} without its line ever high"
            );
        }
        entry.owed = false;
        entry.allowed = entry.allowed.saturating_sub(1);
        entry.was_high = entry.level;
        entry.active = true;
        self.running[cpu].push(intid);
        Some(intid)
    }

    fn end(&mut self, cpu: usize) {
        if let Some(intid) = self.running[cpu].pop() {
            if self.split {
                self.waiting[cpu].push(intid);
            } else {
                self.entry(cpu, intid).active = false;
            }
            self.machine.end(cpu, intid);
        }
    }

    fn deactivate(&mut self, cpu: usize, which: usize, by_register: bool) {
        let waiting = &mut self.waiting[cpu];
        if waiting.is_empty() {
            return;
        }
        let intid = waiting.remove(which % waiting.len());
        self.entry(cpu, intid).active = false;
        if by_register {
            self.machine.bit(cpu, ICACTIVER, intid);
        } else {
            self.machine.deactivate(cpu, intid);
        }
    }

    /// L1 enables everything and handles what comes, devices fall silent when served.
    fn drain(&mut self) {
        self.apply(Step::Group(true));
        for intid in EDGE_SPIS.into_iter().chain(LEVEL_SPIS) {
            self.apply(Step::Route(intid, 0));
        }
        for (cpu, intid) in self.ledger.keys().copied().collect::<Vec<_>>() {
            self.enable(cpu, intid, true);
        }
        for _ in 0..200 {
            let mut quiet = true;
            for cpu in 0..CPUS {
                if let Some(intid) = self.acknowledge(cpu) {
                    quiet = false;
                    if intid >= 16 && !self.entry(cpu, intid).edge {
                        self.level(cpu, intid, false);
                    }
                }
                if !self.running[cpu].is_empty() || !self.waiting[cpu].is_empty() {
                    quiet = false;
                    self.end(cpu);
                    self.deactivate(cpu, 0, false);
                }
            }
            if quiet {
                // Only to fold what has ended: all must have come without this exit.
                self.machine.exit(0);
                self.machine.exit(1);
                return;
            }
        }
        panic!("interrupts without end");
    }

    fn check_all_served(&mut self) {
        for (&(cpu, intid), entry) in &self.ledger {
            assert!(!entry.owed, "{intid} of vCPU {cpu} was lost");
            assert!(!entry.level, "the line of {intid} of vCPU {cpu} was ignored");
            assert!(
                !self.machine.vgic.is_pending_or_active(cpu, intid),
                "{intid} is left over"
            );
        }
        for line in self.machine.hw.spis.iter().chain(self.machine.hw.ppis.iter().flatten()) {
            assert!(!line.active, "a physical interrupt is active for ever");
        }
        for cpu in 0..CPUS {
            assert_eq!(self.machine.list_registers(cpu), []);
            assert!(!self.machine.vgic.needs_load(cpu));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_interrupt_is_lost_duplicated_or_left_active(
        lr_count in 1..=4_usize,
        split in any::<bool>(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut history = History::new(lr_count, split);
        for step in steps {
            history.apply(step);
        }
        history.machine.check_links();
        history.drain();
        history.check_all_served();
    }
}

#[test]
fn interrupts_of_the_model_are_distinct() {
    let all = interrupts();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
}
