//! A machine for the tests: physical SPIs and PPIs with lines, the virtual CPU interface of each
//! CPU, and firmware that does what the crate's documentation asks of it.
//!
//! It is strict: deactivating a physical interrupt that is not active is a failed test, because a
//! link must end exactly once.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]
#![allow(dead_code, reason = "each test file uses its part")]

mod physical;

use std::collections::BTreeSet;

use vgic::lr::State;
use vgic::{ListRegister, MAX_VCPUS, Vgic, VgicConfig, VirtualInterface, hcr, vmcr};

use physical::Untouched;
pub(crate) use physical::{Line, Physical};

pub(crate) const SPIS: u32 = 64;

/// CPUs, the GIC, and the virtual GIC.
pub(crate) struct Machine {
    pub(crate) vgic: Vgic,
    pub(crate) hw: Physical,
    pub(crate) vif: Vec<VirtualInterface>,
    pub(crate) lr_count: usize,
    /// Virtual PPI, physical PPI behind it.
    pub(crate) timer: (u32, u32),
    /// Maintenance interrupts taken.
    pub(crate) maintenance: usize,
}

/// The affinity of a CPU, not the same as its number.
pub(crate) fn mpidr(cpu: usize) -> u64 {
    0x8000_0000 | (cpu as u64 / 2) << 8 | (cpu as u64 % 2)
}

pub(crate) fn config(cpus: usize, lr_count: usize) -> VgicConfig {
    let mut affinities = [0; MAX_VCPUS];
    for (cpu, affinity) in affinities.iter_mut().enumerate() {
        *affinity = mpidr(cpu);
    }
    VgicConfig {
        cpus,
        mpidr: affinities,
        spi_count: SPIS,
        lr_count,
        id_bits: 16,
    }
}

pub(crate) const SGI_FRAME: u64 = 0x1_0000;
pub(crate) const IGROUPR: u64 = 0x80;
pub(crate) const ISENABLER: u64 = 0x100;
pub(crate) const ICENABLER: u64 = 0x180;
pub(crate) const ISPENDR: u64 = 0x200;
pub(crate) const ICPENDR: u64 = 0x280;
pub(crate) const ISACTIVER: u64 = 0x300;
pub(crate) const ICACTIVER: u64 = 0x380;
pub(crate) const IPRIORITYR: u64 = 0x400;
pub(crate) const ICFGR: u64 = 0xc00;
pub(crate) const IROUTER: u64 = 0x6000;

impl Machine {
    /// A machine whose L1 has enabled Group 1 everywhere, unmasked all priorities, and put all
    /// interrupts in Group 1 at priority 0xa0; all disabled.
    pub(crate) fn new(cpus: usize, lr_count: usize) -> Self {
        let vif = VirtualInterface {
            vmcr: vmcr::VENG1 | vmcr::VEOIM | 0xf8 << vmcr::VPMR_SHIFT | 3 << vmcr::VBPR1_SHIFT,
            ..VirtualInterface::EMPTY
        };
        let ppi = Line {
            enabled: true,
            ..Line::default()
        };
        let mut machine = Self {
            vgic: Vgic::new(&config(cpus, lr_count)).unwrap(),
            hw: Physical {
                spis: vec![Line::default(); 32 + SPIS as usize],
                ppis: vec![vec![ppi; 32]; cpus],
                kicked: BTreeSet::new(),
            },
            vif: vec![vif; cpus],
            lr_count,
            timer: (27, 27),
            maintenance: 0,
        };
        machine.gicd(0, 0, 2);
        for word in 1..=SPIS / 32 {
            machine.gicd(0, IGROUPR + u64::from(word) * 4, u32::MAX);
        }
        for intid in 32..32 + SPIS {
            machine.set_priority(0, intid, 0xa0);
        }
        for cpu in 0..cpus {
            machine.gicr(cpu, IGROUPR, u32::MAX);
            for intid in 0..32 {
                machine.set_priority(cpu, intid, 0xa0);
            }
        }
        machine.settle();
        machine
    }

    /// L1 on `cpu` writes a distributor word.
    pub(crate) fn gicd(&mut self, cpu: usize, offset: u64, value: u32) {
        self.before_access(cpu, offset);
        let value = u64::from(value);
        self.vgic.write_distributor(cpu, offset, 4, value, &mut self.hw);
        self.settle();
    }

    /// L1 on `cpu` writes a word of its own SGI frame.
    pub(crate) fn gicr(&mut self, cpu: usize, offset: u64, value: u32) {
        self.before_access(cpu, offset);
        let value = u64::from(value);
        self.vgic
            .write_redistributor(cpu, SGI_FRAME + offset, 4, value, &mut self.hw);
        self.settle();
    }

    /// L1 on `cpu` reads a distributor word.
    pub(crate) fn read_gicd(&mut self, cpu: usize, offset: u64) -> u32 {
        self.before_access(cpu, offset);
        let value = self.vgic.read_distributor(offset, 4, &self.hw);
        self.settle();
        value as u32
    }

    /// L1 on `cpu` reads a word of its own SGI frame.
    pub(crate) fn read_gicr(&mut self, cpu: usize, offset: u64) -> u32 {
        self.before_access(cpu, offset);
        let value = self.vgic.read_redistributor(cpu, SGI_FRAME + offset, 4, &self.hw);
        self.settle();
        value as u32
    }

    fn before_access(&mut self, cpu: usize, offset: u64) {
        if vgic::access_needs_lists(offset) && !self.vgic.is_settled(cpu) {
            self.save(cpu);
        }
    }

    /// L1 writes one bit of a bit register.
    pub(crate) fn bit(&mut self, cpu: usize, register: u64, intid: u32) {
        let bit = 1 << (intid % 32);
        if intid < 32 {
            self.gicr(cpu, register, bit);
        } else {
            self.gicd(cpu, register + u64::from(intid / 32) * 4, bit);
        }
    }

    /// Whether one bit of a bit register reads as one.
    pub(crate) fn has_bit(&mut self, cpu: usize, register: u64, intid: u32) -> bool {
        let word = if intid < 32 {
            self.read_gicr(cpu, register)
        } else {
            self.read_gicd(cpu, register + u64::from(intid / 32) * 4)
        };
        word >> (intid % 32) & 1 != 0
    }

    pub(crate) fn enable(&mut self, cpu: usize, intid: u32) {
        self.bit(cpu, ISENABLER, intid);
    }

    pub(crate) fn set_priority(&mut self, cpu: usize, intid: u32, priority: u8) {
        let offset = IPRIORITYR + u64::from(intid);
        let priority = u64::from(priority);
        if intid < 32 {
            self.vgic
                .write_redistributor(cpu, SGI_FRAME + offset, 1, priority, &mut self.hw);
        } else {
            self.vgic.write_distributor(cpu, offset, 1, priority, &mut self.hw);
        }
    }

    pub(crate) fn set_edge(&mut self, intid: u32, edge: bool) {
        let offset = ICFGR + u64::from(intid / 16) * 4;
        let shift = 2 * (intid % 16) + 1;
        let old = self.read_gicd(0, offset);
        self.gicd(0, offset, old & !(1 << shift) | u32::from(edge) << shift);
    }

    pub(crate) fn route(&mut self, intid: u32, affinity: u64) {
        self.vgic.write_distributor(
            0,
            IROUTER + 8 * u64::from(intid),
            8,
            affinity & 0xff_00ff_ffff,
            &mut self.hw,
        );
        self.settle();
    }

    /// A device changes its line.
    pub(crate) fn drive(&mut self, intid: u32, level: bool) {
        let line = self.hw.line_mut(0, intid);
        if level && !line.level && line.edge {
            line.latch = true;
        }
        line.level = level;
        self.settle();
    }

    /// A device pulses its line.
    pub(crate) fn pulse(&mut self, intid: u32) {
        self.drive(intid, true);
        self.drive(intid, false);
    }

    /// The timer of `cpu` changes its line.
    pub(crate) fn drive_timer(&mut self, cpu: usize, level: bool) {
        let pintid = self.timer.1;
        self.hw.line_mut(cpu, pintid).level = level;
        self.settle();
    }

    /// Everything the firmware does by itself until nothing changes: takes physical interrupts,
    /// answers kicks and maintenance interrupts, loads on the way back.
    pub(crate) fn settle(&mut self) {
        for _ in 0..1000 {
            if !self.step() {
                return;
            }
        }
        panic!("the firmware never comes to rest");
    }

    fn step(&mut self) -> bool {
        let mut busy = self.take_physical();
        for cpu in 0..self.vif.len() {
            if self.maintenance_asserted(cpu) {
                self.maintenance += 1;
                self.save(cpu);
                busy = true;
            }
            if self.vgic.needs_load(cpu) {
                self.load(cpu);
                busy = true;
            }
        }
        self.hw.kicked.clear();
        self.check();
        busy
    }

    fn take_physical(&mut self) -> bool {
        let mut taken = false;
        for intid in 32..32 + SPIS {
            let line = self.hw.line_mut(0, intid);
            if line.enabled && line.is_pending() && !line.active {
                line.active = true;
                line.latch = false;
                self.vgic.forward_spi(intid, &mut self.hw);
                taken = true;
            }
        }
        let (intid, pintid) = self.timer;
        for cpu in 0..self.vif.len() {
            let line = self.hw.line_mut(cpu, pintid);
            if line.level && !line.active {
                line.active = true;
                self.vgic.forward_ppi(cpu, intid, pintid, &mut self.hw);
                taken = true;
            }
        }
        taken
    }

    pub(crate) fn maintenance_asserted(&self, cpu: usize) -> bool {
        vgic::ich::maintenance_level(&self.vif[cpu], self.lr_count)
    }

    pub(crate) fn save(&mut self, cpu: usize) {
        self.vgic.save(cpu, &mut self.vif[cpu], &mut self.hw);
    }

    pub(crate) fn load(&mut self, cpu: usize) {
        self.vgic.load(cpu, &mut self.vif[cpu], &mut self.hw);
    }

    /// Saves and loads, as an exit that wants to know everything.
    pub(crate) fn exit(&mut self, cpu: usize) {
        self.save(cpu);
        self.load(cpu);
        self.settle();
    }

    pub(crate) fn list_registers(&self, cpu: usize) -> Vec<ListRegister> {
        let lrs = self.vif[cpu].lr.iter().take(self.lr_count);
        lrs.map(|&lr| ListRegister(lr)).filter(|lr| lr.is_valid()).collect()
    }

    pub(crate) fn list_register(&self, cpu: usize, intid: u32) -> Option<ListRegister> {
        self.list_registers(cpu).into_iter().find(|lr| lr.vintid() == intid)
    }

    /// L1 on `cpu` reads `ICC_IAR1_EL1`.
    pub(crate) fn acknowledge(&mut self, cpu: usize) -> Option<u32> {
        let vif = &mut self.vif[cpu];
        let number = (0..self.lr_count)
            .filter(|&n| {
                let lr = ListRegister(vif.lr[n]);
                lr.state() == State::Pending && vif.is_group_enabled(lr.is_group1())
            })
            .min_by_key(|&n| ListRegister(vif.lr[n]).priority())?;
        let lr = ListRegister(vif.lr[number]);
        if vif.hcr & hcr::EN == 0 || !vif.would_signal(lr.is_group1(), lr.priority()) {
            return None;
        }
        vif.lr[number] = lr.with_state(State::Active).0;
        vif.ap1r0 |= 1 << (lr.priority() >> 3);
        self.settle();
        Some(lr.vintid())
    }

    /// L1 on `cpu` writes `ICC_EOIR1_EL1`: a priority drop, and deactivation without split.
    pub(crate) fn end(&mut self, cpu: usize, intid: u32) {
        let vif = &mut self.vif[cpu];
        assert_ne!(vif.ap1r0, 0, "L1 ends what it has acknowledged");
        vif.ap1r0 &= vif.ap1r0 - 1;
        if vif.vmcr & vmcr::VEOIM == 0 {
            self.deactivate_in_hardware(cpu, intid);
        }
        self.settle();
    }

    /// L1 on `cpu` writes `ICC_DIR_EL1`.
    pub(crate) fn deactivate(&mut self, cpu: usize, intid: u32) {
        if self.vif[cpu].hcr & hcr::TDIR != 0 {
            self.vgic.deactivate(cpu, intid, &mut self.hw);
        } else {
            self.deactivate_in_hardware(cpu, intid);
        }
        self.settle();
    }

    fn deactivate_in_hardware(&mut self, cpu: usize, intid: u32) {
        let vif = &mut self.vif[cpu];
        let found = vif.lr.iter_mut().take(self.lr_count).find(|lr| {
            let lr = ListRegister(**lr);
            lr.state().is_active() && lr.vintid() == intid
        });
        match found {
            Some(lr) => {
                let old = ListRegister(*lr);
                let pending = old.state().is_pending();
                *lr = old.with_state(State::from_parts(pending, false)).0;
                if old.is_hw() {
                    self.hw.deactivate(cpu, old.pintid());
                }
            }
            None => vif.hcr += 1 << hcr::EOICOUNT_SHIFT,
        }
    }

    /// L1 on `cpu` takes one interrupt from beginning to end.
    pub(crate) fn handle(&mut self, cpu: usize) -> Option<u32> {
        let intid = self.acknowledge(cpu)?;
        self.end(cpu, intid);
        if self.vif[cpu].vmcr & vmcr::VEOIM != 0 {
            self.deactivate(cpu, intid);
        }
        Some(intid)
    }

    /// What must hold at every moment.
    fn check(&self) {
        let mut seen = BTreeSet::new();
        for cpu in 0..self.vif.len() {
            if self.vgic.is_settled(cpu) {
                self.check_settled(cpu);
            }
            for lr in self.list_registers(cpu) {
                let owner = if lr.vintid() < 32 { cpu } else { 0 };
                assert!(
                    seen.insert((owner, lr.vintid())),
                    "{} is in two list registers",
                    lr.vintid()
                );
                if lr.is_hw() {
                    assert_ne!(lr.state(), State::PendingActive, "no link for both");
                    assert!(self.hw.line(cpu, lr.pintid()).active, "a link to an inactive interrupt");
                }
            }
        }
    }

    /// Where nothing is in the list registers or wants to be, saving and loading do nothing.
    fn check_settled(&self, cpu: usize) {
        let before = VirtualInterface {
            hcr: self.vif[cpu].hcr & !hcr::EOICOUNT | hcr::EN,
            ..self.vif[cpu].clone()
        };
        let (mut vgic, mut vif) = (self.vgic.clone(), before.clone());
        vgic.save(cpu, &mut vif, &mut Untouched);
        vgic.load(cpu, &mut vif, &mut Untouched);
        assert_eq!(vif, before);
    }

    /// With every list register saved: a physical interrupt is active if and only if it is linked.
    pub(crate) fn check_links(&mut self) {
        for cpu in 0..self.vif.len() {
            self.save(cpu);
        }
        for intid in 32..32 + SPIS {
            let state = self.vgic.interrupt(0, intid).unwrap();
            assert_eq!(
                state.linked.is_some(),
                self.hw.line(0, intid).active,
                "link of SPI {intid}: {state:?}"
            );
        }
        for cpu in 0..self.vif.len() {
            let linked = self.vgic.link(cpu, self.timer.0).is_some();
            assert_eq!(linked, self.hw.line(cpu, self.timer.1).active, "timer link");
        }
        self.settle();
    }
}
