//! The physical distributor and redistributors: what the virtual GIC may do to them, and what they do by themselves.

use std::collections::BTreeSet;

use vgic::PhysicalGic;

/// A physical interrupt.
#[derive(Clone, Default)]
pub(crate) struct Line {
    pub(crate) enabled: bool,
    pub(crate) edge: bool,
    pub(crate) level: bool,
    pub(crate) latch: bool,
    pub(crate) active: bool,
    pub(crate) route: usize,
}

impl Line {
    pub(super) fn is_pending(&self) -> bool {
        self.latch || (self.level && !self.edge)
    }
}

/// The physical distributor and redistributors.
pub(crate) struct Physical {
    pub(crate) spis: Vec<Line>,
    pub(crate) ppis: Vec<Vec<Line>>,
    pub(crate) kicked: BTreeSet<usize>,
}

impl Physical {
    pub(super) fn line(&self, cpu: usize, pintid: u32) -> &Line {
        match pintid {
            0..32 => &self.ppis[cpu][pintid as usize],
            _ => &self.spis[pintid as usize],
        }
    }

    pub(crate) fn line_mut(&mut self, cpu: usize, pintid: u32) -> &mut Line {
        match pintid {
            0..32 => &mut self.ppis[cpu][pintid as usize],
            _ => &mut self.spis[pintid as usize],
        }
    }

    pub(super) fn deactivate(&mut self, cpu: usize, pintid: u32) {
        let line = self.line_mut(cpu, pintid);
        assert!(line.active, "{pintid} of CPU {cpu} deactivated twice");
        line.active = false;
    }
}

impl PhysicalGic for Physical {
    fn set_enabled(&mut self, pintid: u32, enabled: bool) {
        self.spis[pintid as usize].enabled = enabled;
    }
    fn set_edge(&mut self, pintid: u32, edge: bool) {
        self.spis[pintid as usize].edge = edge;
    }
    fn set_route(&mut self, pintid: u32, cpu: usize) {
        self.spis[pintid as usize].route = cpu;
    }
    fn set_active(&mut self, cpu: usize, pintid: u32, active: bool) {
        if active {
            self.line_mut(cpu, pintid).active = true;
        } else {
            self.deactivate(cpu, pintid);
        }
    }
    fn set_pending(&mut self, pintid: u32, pending: bool) {
        self.spis[pintid as usize].latch = pending;
    }
    fn is_pending(&self, cpu: usize, pintid: u32) -> bool {
        self.line(cpu, pintid).is_pending()
    }
    fn kick(&mut self, cpu: usize) {
        self.kicked.insert(cpu);
    }
}

/// A distributor that nobody touches.
pub(super) struct Untouched;

impl PhysicalGic for Untouched {
    fn set_enabled(&mut self, _pintid: u32, _enabled: bool) {
        panic!("enabled or disabled");
    }
    fn set_edge(&mut self, _pintid: u32, _edge: bool) {
        panic!("made edge- or level-triggered");
    }
    fn set_route(&mut self, _pintid: u32, _cpu: usize) {
        panic!("routed");
    }
    fn set_active(&mut self, _cpu: usize, _pintid: u32, _active: bool) {
        panic!("made active or inactive");
    }
    fn set_pending(&mut self, _pintid: u32, _pending: bool) {
        panic!("made pending");
    }
    fn is_pending(&self, _cpu: usize, _pintid: u32) -> bool {
        panic!("looked at");
    }
    fn kick(&mut self, _cpu: usize) {
        panic!("kicked");
    }
}
