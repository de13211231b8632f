//! The shadow pool between a hostile L1 and the CPUs that run its guests.
//!
//! L1's memory, its TLBs and the frames for tables are the doubles of the pool's own tests, which are strict: a change
//! without break-before-make, a missing invalidation or a page that is freed twice is a failure. On top of that, what a
//! TLBI must end is kept as a list of pages, for each guest whose tables L1 changes as the architecture asks.

use std::{collections::BTreeMap, ops::Range};

use explain::{Lint, NestedStage2, Place, Tables, look};
use shadow::{
    Access, FaultAction, FaultKind, GuestStage2, IpaOperand, Patience, RangeOperand, ShadowFault, ShadowKey, SlotId,
    testing::{AF, BLOCK, GuestTables, ShadowPool, WRITE, World},
};
use vmsa::{
    EntryKind, Granule, Ipa, Level, Phys,
    stage2::{Stage2Attrs, Stage2Config, visit},
};

use crate::Input;

/// L1's RAM, and a part of it that is gnomon's.
const RAM: Range<u64> = 0x4000_0000..0xc000_0000;
const HOLE: Range<u64> = 0x6000_0000..0x6020_0000;
/// Where the tables of guest 0 are, and how far those of the next are from them.
const TABLES: u64 = 0x5000_0000;
const TABLES_BYTES: u64 = 0x100_0000;
const VCPUS: usize = 3;
/// Fewer than there are guests.
const SHADOWS: usize = 3;
/// `VTCR_EL2.HA`
const HARDWARE_AF: u64 = 1 << 21;
const PAGE_BYTES: u64 = 0x1000;

type Pool = ShadowPool<SHADOWS>;

/// A guest of L1's, and what L1 has mapped for it.
struct Guest {
    tables: GuestTables,
    key: ShadowKey,
    /// Leaves by their first address: level, and what they lead to.
    leaves: BTreeMap<u64, (Level, u64)>,
    /// Pages that a TLB may know, with the addresses of the leaf of L1's that they are from.
    known: BTreeMap<u64, Range<u64>>,
    /// L1 keeps to the architecture's rules about changes of its tables.
    is_orderly: bool,
}

struct Machine {
    world: World,
    pool: Pool,
    guests: Vec<Guest>,
    /// The guest and the shadow that each vCPU runs on.
    running: [Option<(usize, SlotId)>; VCPUS],
    now: u64,
}

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut machine = Machine::new(&mut input);
    for _ in 0..48 {
        if input.is_empty() {
            break;
        }
        machine.step(&mut input);
        machine.check_tlbs();
    }
    machine.check_leaves();
    machine.running = [None; VCPUS];
    machine.pool.all().clear(&mut machine.world);
    assert_eq!(machine.world.arena.used(), 0, "all pages are back");
}

impl Machine {
    fn new(input: &mut Input<'_>) -> Self {
        let mut world = World::new(usize::from(input.byte()) + 12);
        world.reserve = VCPUS;
        let bits = input.byte();
        for ram in [RAM.start..HOLE.start, HOLE.end..RAM.end] {
            world.map_host(ram.start, ram.start, ram.end - ram.start, &Stage2Attrs::RAM);
        }
        let shapes = [(Granule::K4, 7), (Granule::K4, 7), (Granule::K16, 7), (Granule::K64, 8)];
        let guests = (0..).zip(shapes).map(|(number, (granule, vmid))| {
            let mut tables = GuestTables::new(granule, vmid, TABLES + number * TABLES_BYTES, &mut world);
            tables.vtcr_bits = if bits >> number & 1 != 0 { HARDWARE_AF } else { 0 };
            tables.big_endian = bits >> (4 + number) & 1 != 0;
            Guest {
                tables,
                key: tables.key(),
                leaves: BTreeMap::new(),
                known: BTreeMap::new(),
                is_orderly: true,
            }
        });
        let guests = guests.collect();
        Self {
            world,
            pool: ShadowPool::new(),
            guests,
            running: [None; VCPUS],
            now: 0,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let number = input.below(self.guests.len());
        match input.below(16) {
            0..3 => self.map(number, input),
            3 => self.unmap(number, input),
            4 => self.write_anything(number, input),
            5 => self.switch(number, input),
            6..11 => self.fault(input),
            11 => self.tlbi_ipa(number, input.word()),
            12 => self.tlbi_range(number, input.word()),
            13 => self.tlbi_all(number, input.bit()),
            14 => self.sweep_or_drop(number, input),
            _ => self.look(number, input),
        }
    }

    /// L1 maps a leaf where nothing is mapped. Leaves of each level have addresses of their own, so that none is in the
    /// way of another.
    fn map(&mut self, number: usize, input: &mut Input<'_>) {
        let guest = &mut self.guests[number];
        let (granule, is_orderly) = (guest.tables.granule, guest.is_orderly);
        let level = input.pick(&[Level::ONE, Level::TWO, Level::THREE]);
        if !granule.has_leaf_at(level) || !is_orderly {
            return;
        }
        let size = granule.entry_bytes(level);
        let ia = u64::from(level.get() as u8) << 40 | (input.below(4) as u64 * size);
        let outputs = [
            0x4000_0000,
            0x8000_0000,
            0x6000_0000,
            0x9fff_0000,
            0xbfe0_0000,
            0x900_0000,
            0x1_0000_0000,
        ];
        let output = (input.pick(&outputs) + u64::from(input.byte()) * PAGE_BYTES) & !(size - 1);
        if guest.leaves.contains_key(&ia) {
            return;
        }
        let denied = input.pick(&[0, 0, WRITE, 1 << 6, AF]);
        guest.tables.map(ia, output, level, BLOCK & !denied, &mut self.world);
        guest.leaves.insert(ia, (level, output));
    }

    /// L1 unmaps a leaf, and says so in one of the ways there are.
    fn unmap(&mut self, number: usize, input: &mut Input<'_>) {
        let guest = &mut self.guests[number];
        let which = input.byte() as usize % guest.leaves.len().max(1);
        let Some((&ia, &(level, _))) = guest.leaves.iter().nth(which) else {
            return;
        };
        if !guest.is_orderly {
            return;
        }
        guest.tables.unmap(ia, level, &mut self.world);
        guest.leaves.remove(&ia);
        let granule = guest.tables.granule;
        let size = granule.entry_bytes(level);
        let at = ia + u64::from(input.half()) * PAGE_BYTES % size;
        let tg: u64 = match granule {
            Granule::K4 => 0b01,
            Granule::K16 => 0b10,
            Granule::K64 => 0b11,
        };
        let ttl = tg << 2 | level.get() as u64;
        let base = (at >> granule.shift()) & ((1 << 37) - 1);
        match input.below(5) {
            0 => self.tlbi_ipa(number, at >> 12),
            1 => self.tlbi_ipa(number, at >> 12 | ttl << 44),
            2 => self.tlbi_range(number, base | tg << 46 | u64::from(input.byte() & 3) << 39),
            3 => self.tlbi_all(number, false),
            _ => self.tlbi_all(number, true),
        }
    }

    /// L1 writes what it likes into a guest's tables, and says nothing.
    fn write_anything(&mut self, number: usize, input: &mut Input<'_>) {
        let guest = &mut self.guests[number];
        guest.is_orderly = false;
        guest.known.clear();
        let at = guest.tables.root + u64::from(input.below(4) as u8) * 0x1_0000 + u64::from(input.half() & 0x1ff8);
        let target = guest.tables.root + u64::from(input.byte()) * PAGE_BYTES;
        let desc = match input.below(4) {
            0 => input.word(),
            1 => target | 3,
            _ => (RAM.start + u64::from(input.half()) * PAGE_BYTES) | BLOCK | u64::from(input.byte() & 2),
        };
        self.world.l1.set(at, desc);
    }

    fn switch(&mut self, number: usize, input: &mut Input<'_>) {
        let vcpu = input.below(VCPUS);
        if let Some((_, slot)) = self.running[vcpu].take() {
            self.pool.release(slot);
        }
        if input.below(4) == 0 {
            return;
        }
        // One of the guests with stage 2 off, now and then.
        let key = match input.below(8) {
            0 => ShadowKey::new(self.guests[number].key.vttbr(), 0, false),
            _ => self.guests[number].key,
        };
        let (slot, _) = self
            .pool
            .acquire(key, &mut self.world)
            .expect("more shadows than vCPUs hold");
        self.running[vcpu] = Some((number, slot));
    }

    /// A guest touches what L1 has mapped for it, or anything.
    fn fault(&mut self, input: &mut Input<'_>) {
        let Some((number, slot)) = self.running[input.below(VCPUS)] else {
            return self.switch(0, input);
        };
        let (leaf, offset) = (usize::from(input.byte()), u64::from(input.half()) << input.below(16));
        let guest = &self.guests[number];
        let known = guest.leaves.iter().nth(leaf % (guest.leaves.len() + 1));
        let ipa = match known {
            Some((ia, (level, _))) => ia + offset % guest.tables.granule.entry_bytes(*level),
            None => input.word(),
        };
        let accesses = [
            Access::Read,
            Access::Write,
            Access::Execute { el0: false },
            Access::Execute { el0: true },
        ];
        let fault = ShadowFault {
            ipa: Ipa::new(ipa),
            access: input.pick(&accesses),
            kind: FaultKind::Translation,
            is_s1ptw: input.bit(),
        };
        let action = self
            .pool
            .handle_fault(slot, &fault, &guest.tables.guest(), &mut self.world);
        let is_on = self.pool.with(slot, |shadow| shadow.key().enabled()) == Some(true);
        if is_on && action == FaultAction::Retry {
            self.note(number, slot, ipa);
        }
        self.world.fill_tlbs(&self.pool);
    }

    /// The page at `ipa` has been filled from what an orderly L1 has mapped.
    fn note(&mut self, number: usize, slot: SlotId, ipa: u64) {
        let guest = &mut self.guests[number];
        if !guest.is_orderly {
            return;
        }
        let (&ia, &(level, output)) = guest.leaves.range(..=ipa).next_back().expect("a leaf of L1's");
        let size = guest.tables.granule.entry_bytes(level);
        assert!(ipa - ia < size, "{ipa:#x} was filled, and L1 does not map it");
        let found = self
            .world
            .shadow_of(&self.pool, slot, ipa)
            .map(|leaf| leaf.output.bits());
        // The Access flag may have been set meanwhile, and then it is filled at the next attempt.
        if let Some(found) = found {
            assert_eq!(found, output + (ipa - ia), "at {ipa:#x}");
            guest.known.insert(ipa & !(PAGE_BYTES - 1), ia..ia + size);
        }
    }

    fn tlbi_ipa(&mut self, number: usize, operand: u64) {
        let (vmid, operand) = (self.guests[number].tables.vmid, IpaOperand::decode(operand));
        self.pool
            .invalidate_ipa(vmid, operand.ipa, operand.ttl, &mut self.world);
        let at = operand.ipa.bits();
        let hint = operand.ttl.map(|ttl| (ttl.granule, ttl.bytes()));
        // A hint that is wrong may make an invalidation miss.
        self.ends(Some(vmid), |granule, leaf| {
            leaf.contains(&at) && hint.is_none_or(|(of, bytes)| of == granule && bytes == leaf.end - leaf.start)
        });
    }

    fn tlbi_range(&mut self, number: usize, operand: u64) {
        let (vmid, operand) = (self.guests[number].tables.vmid, RangeOperand::decode(operand, false));
        let range = operand.range();
        self.pool
            .invalidate_range(vmid, operand.base, operand.size, &mut self.world);
        self.ends(Some(vmid), |granule, leaf| {
            let is_hint_right = operand.ttl.is_none_or(|ttl| ttl.bytes() == leaf.end - leaf.start);
            let is_granule_right = granule.shift() <= range.start.trailing_zeros().max(12);
            is_hint_right && is_granule_right && leaf.start < range.end && range.start < leaf.end
        });
    }

    fn tlbi_all(&mut self, number: usize, all: bool) {
        let vmid = self.guests[number].tables.vmid;
        if all {
            self.pool.invalidate_all(&mut self.world);
        } else {
            self.pool.invalidate_vmid(vmid, &mut self.world);
        }
        self.ends((!all).then_some(vmid), |_, _| true);
    }

    /// L1 has ended what is known of leaves that `is_covered` says, in guests of `vmid` or all.
    fn ends(&mut self, vmid: Option<u16>, is_covered: impl Fn(Granule, &Range<u64>) -> bool) {
        for guest in &mut self.guests {
            if vmid.is_some_and(|vmid| vmid != guest.tables.vmid) {
                continue;
            }
            let slot = self.pool.slot_of(guest.key);
            let (world, pool, granule) = (&self.world, &self.pool, guest.tables.granule);
            guest.known.retain(|&page, leaf| {
                let is_ended = is_covered(granule, leaf);
                let is_there = slot.is_some_and(|slot| world.shadow_of(pool, slot, page).is_some());
                assert!(!is_ended || !is_there, "{page:#x} outlives a TLBI");
                !is_ended
            });
        }
    }

    fn sweep_or_drop(&mut self, number: usize, input: &mut Input<'_>) {
        if let (true, Some(slot)) = (input.bit(), self.pool.slot_of(self.guests[number].key)) {
            let (ia, size) = (input.word(), input.word());
            self.pool.drop_range(slot, Ipa::new(ia), size, &mut self.world);
            return;
        }
        let patience = Patience {
            suspect_after: 2,
            drop_after: 4,
        };
        self.now += u64::from(input.byte() & 3);
        self.pool.sweep(self.now, patience, &mut self.world);
        // What was given up in the middle may come back anew.
    }

    /// What the console shows of it.
    fn look(&mut self, number: usize, input: &mut Input<'_>) {
        let guest = &self.guests[number];
        let limits = guest.tables.guest().limits;
        if let Ok(config) = Stage2Config::from_registers(guest.key.vtcr(), guest.key.vttbr(), &limits) {
            let ground = |_, _| explain::Ground::Ram;
            Lint::from(input.word()).step(&config, &self.world.l1, &ground, 64, &mut |finding| {
                let _ = finding.flaw.to_string();
            });
        }
        let Some(slot) = self.pool.slot_of(guest.key) else {
            return;
        };
        let (from, ipa) = (input.word(), Ipa::new(input.word()));
        let Some(held) = self.pool.lock(slot) else { return };
        let Some(shadow) = held.as_ref() else { return };
        self.pool
            .audit(shadow, &GuestStage2 { limits }, from, 64, &self.world, &mut |finding| {
                let _ = finding.offence.to_string();
            });
        let tables = Tables {
            l1: &self.world.l1,
            shadow: &self.world.arena,
            host: self.world.host_tables(),
            host_config: self.world.host.config(),
        };
        let mut steps = 0;
        let place = |_| Place::Nothing;
        let situation = look(&NestedStage2::of(shadow, limits), ipa, &tables, &place, &mut |_| {
            steps += 1
        });
        assert!(steps <= 15);
        let _ = situation.shadow_state();
    }

    fn check_tlbs(&self) {
        self.world.assert_fresh(&self.pool);
    }

    /// Whatever L1 did: no shadow leads anywhere but into its RAM.
    fn check_leaves(&self) {
        for (_, shadow) in self.pool.all().iter() {
            let config = shadow.table().config();
            visit::<Phys>(&config, &self.world.arena, 0, usize::MAX, &mut |entry| {
                if entry.kind == EntryKind::Leaf {
                    let start = entry.raw & 0xffff_ffff_f000 & !(entry.size - 1);
                    let end = start + entry.size;
                    assert!(RAM.start <= start && end <= RAM.end, "{entry:x?} is not RAM");
                    assert!(end <= HOLE.start || HOLE.end <= start, "{entry:x?} is gnomon's");
                }
            });
        }
    }
}
