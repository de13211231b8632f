//! The pool with its locks, with CPUs in every order in which each is interrupted a few times, played by `loom`.
//!
//! What is checked is the protocol: the pool is the one of the firmware, its locks and the memory around it are the
//! checker's. Each access to memory and each invalidation is a step of its own, in between which another CPU may walk the
//! shadow, as hardware does without asking for a lock, and keep what it finds. Locks that are taken in a circle are found,
//! too.
//!
//! That the checker can find a fault in the protocol is shown by CPUs that break it in one place each, and by locks of
//! which one kind does not lock.

use crate::{
    Access, FaultAction, FaultKind, GuestStage2, Lock, Locks, Patience, Rank, ShadowEnv, ShadowFault, ShadowKey,
    ShadowPool, SlotId,
    testing::{BLOCK, K4},
};
use loom::{
    model::Builder,
    sync::{Arc, Mutex, MutexGuard},
    thread,
};
use std::{boxed::Box, collections::BTreeMap};
use vmsa::{
    Ipa, L1, L2, Level, Pa, Phys, ReadTable, Unreadable,
    stage2::{RawLeaf, Stage2Config, Stage2Fault, TableMemory, visit, walk},
    testing::{Arena, LIMITS, Words, vtcr},
};

/// What guests touch, with a block of 1 GiB around it, and what the block of guest *n* leads to at first.
const IPA: u64 = 0x4000_0000;
const fn block_of(guest: u16) -> u64 {
    (guest as u64 + 2) << 30
}
/// What guest 0's leads to later.
const OTHER: u64 = 7 << 30;
/// Where L1's tables for guest *n* are.
const fn root_of(guest: u16) -> u64 {
    0x1_0000 * (guest as u64 + 1)
}
/// L1's descriptor for [`IPA`].
const fn entry_of(guest: u16) -> u64 {
    root_of(guest) + 8 * (IPA >> 30)
}

fn key_of(guest: u16) -> ShadowKey {
    ShadowKey::new(u64::from(guest + 1) << 48 | root_of(guest), vtcr(K4, 40, 1), true)
}

/// What CPUs have in common: memory, and their TLBs, which keep all they find.
struct Memory {
    arena: Arena,
    l1: Words,
    /// By VMID: what [`IPA`] leads to.
    tlb: BTreeMap<u64, u64>,
    /// What guest 0 had is L1's for other purposes now.
    is_taken_back: bool,
}

/// A step is what is done under this lock: it is not one of the firmware's.
type Bus = Mutex<Memory>;

/// The checker's locks.
struct Sound;

impl Locks for Sound {
    type Of<T> = Mutex<T>;
}

impl<T> Lock<T> for Mutex<T> {
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;

    fn new(value: T, _rank: Rank) -> Self {
        Self::new(value)
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap()
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.try_lock().ok()
    }
}

struct Machine<const N: usize> {
    bus: Bus,
    pool: Box<ShadowPool<Sound, N>>,
}

/// A CPU's way to memory.
struct Cpu<'a> {
    bus: &'a Bus,
    /// L1's descriptor as it was before the lock was taken: never so, but in a CPU that breaks the rule.
    read_before: Option<u64>,
    /// TLB maintenance is forgotten: never so either.
    is_forgetful: bool,
}

impl<'a> Cpu<'a> {
    const fn new(bus: &'a Bus) -> Self {
        Self {
            bus,
            read_before: None,
            is_forgetful: false,
        }
    }

    fn forget(&self, vttbr: u64, range: Option<(u64, u64)>) {
        let mut memory = self.bus.lock().unwrap();
        memory.arena.synced(vttbr & 0xffff_ffff_f000, range);
        let is_concerned = range.is_none_or(|(ia, size)| (ia..ia + size).contains(&IPA));
        if is_concerned && !self.is_forgetful {
            memory.tlb.remove(&(vttbr >> 48));
        }
    }
}

impl ReadTable<Phys> for Cpu<'_> {
    fn read(&self, at: Pa) -> Result<u64, Unreadable> {
        self.bus.lock().unwrap().arena.read(at)
    }
}

impl TableMemory for Cpu<'_> {
    fn write(&mut self, at: Pa, desc: u64) {
        self.bus.lock().unwrap().arena.write(at, desc);
    }

    fn note(&mut self, at: Pa, word: u64) {
        self.bus.lock().unwrap().arena.note(at, word);
    }

    fn alloc_table(&mut self) -> Option<Pa> {
        self.bus.lock().unwrap().arena.alloc_table()
    }

    fn free_table(&mut self, at: Pa) {
        self.bus.lock().unwrap().arena.free_table(at);
    }
}

impl ShadowEnv for Cpu<'_> {
    fn read_l1(&self, at: Ipa<L1>) -> Result<u64, Unreadable> {
        let stored = self.bus.lock().unwrap().l1.get(at.bits());
        self.read_before.map_or(stored, Ok)
    }

    fn compare_exchange_l1(&mut self, _at: Ipa<L1>, _old: u64, _new: u64) -> Result<bool, Unreadable> {
        Err(Unreadable)
    }

    fn host_leaf(&self, at: Ipa<L1>) -> Result<RawLeaf<Phys>, Stage2Fault> {
        Ok(RawLeaf {
            output: Pa::new(at.bits()),
            level: Level::ONE,
            size: 1 << 30,
            desc_at: Pa::new(0),
            raw: BLOCK,
        })
    }

    fn invalidate_ipa(&mut self, vttbr: u64, ia: u64, size: u64, _level: Level) {
        self.forget(vttbr, Some((ia, size)));
    }

    fn invalidate_vmid(&mut self, vttbr: u64) {
        self.forget(vttbr, None);
    }
}

impl<const N: usize> Machine<N> {
    /// Two guests that each have their block, and pages for tables.
    fn new(pages: usize) -> Arc<Self> {
        let mut l1 = Words::default();
        for guest in 0..2 {
            l1.set(entry_of(guest), block_of(guest) | BLOCK);
        }
        let memory = Memory {
            arena: Arena::new(pages),
            l1,
            tlb: BTreeMap::new(),
            is_taken_back: false,
        };
        Arc::new(Self {
            bus: Mutex::new(memory),
            pool: Box::new(ShadowPool::new()),
        })
    }

    fn acquire(&self, guest: u16) -> Option<(SlotId, u64, Stage2Config)> {
        let (slot, vttbr) = self.pool.acquire(key_of(guest), &mut Cpu::new(&self.bus)).ok()?;
        let config = self.pool.with(slot, |shadow| shadow.table().config())?;
        Some((slot, vttbr, config))
    }

    fn release(&self, slot: SlotId) {
        // An atomic operation is no step of its own: it comes just before one, or just behind.
        self.pool.release(slot);
    }

    /// What an access of `guest` finds, by the TLB or a walk. One step: an invalidation waits for walks that have begun.
    fn access(&self, guest: u16, vttbr: u64, config: &Stage2Config) -> Option<u64> {
        let mut memory = self.bus.lock().unwrap();
        let known = memory.tlb.get(&(vttbr >> 48)).copied();
        let found = known.or_else(|| {
            let found = walk::<L2, Phys>(config, Ipa::new(IPA), &memory.arena).ok()?;
            Some(found.output.bits())
        })?;
        memory.tlb.insert(vttbr >> 48, found);
        let is_old = guest == 0 && found == block_of(0);
        assert!(!(is_old && memory.is_taken_back), "used after its TLBI");
        let is_own = found == block_of(guest) || guest == 0 && found == OTHER;
        assert!(is_own, "another guest's memory");
        Some(found)
    }

    /// A fault of `guest` on the shadow in `slot`.
    fn fault(&self, slot: SlotId, mut cpu: Cpu<'_>) -> FaultAction {
        let fault = ShadowFault {
            ipa: Ipa::new(IPA),
            access: Access::Read,
            kind: FaultKind::Translation,
            is_s1ptw: false,
        };
        self.pool
            .handle_fault(slot, &fault, &GuestStage2 { limits: LIMITS }, &mut cpu)
    }

    /// A CPU that runs `guest`, which touches its memory until it has found it once.
    fn run_guest(&self, guest: u16) {
        let Some((slot, vttbr, config)) = self.acquire(guest) else {
            return;
        };
        if self.access(guest, vttbr, &config).is_none() {
            self.fault(slot, Cpu::new(&self.bus));
            self.access(guest, vttbr, &config);
        }
        self.release(slot);
    }

    /// L1 takes back what guest 0 has: unmaps it, says so, and uses it otherwise.
    fn take_back(&self, cpu: Cpu<'_>) {
        self.bus.lock().unwrap().l1.set(entry_of(0), 0);
        self.tlbi(cpu);
        self.bus.lock().unwrap().is_taken_back = true;
    }

    fn tlbi(&self, mut cpu: Cpu<'_>) {
        self.pool
            .invalidate_ipa(key_of(0).vmid(), Ipa::new(IPA), None, &mut cpu);
    }

    /// The console looks at a shadow, a few entries at a time.
    fn dump(&self) {
        let mut next = Some(0);
        while let Some(from) = next {
            let Some(held) = self.pool.lock(SlotId(0)) else { return };
            let Some(shadow) = held.as_ref() else { return };
            let cpu = Cpu::new(&self.bus);
            next = visit::<Phys>(&shadow.table().config(), &cpu, from, 2, &mut |entry| {
                assert_ne!(entry.kind, vmsa::EntryKind::Unreadable, "a page that was freed");
            });
            // Nothing else is mapped.
            next = next.filter(|next| *next < 2 * IPA);
        }
    }

    /// Time passes: what is not in use is given up.
    fn sweep(&self) {
        let patience = Patience {
            suspect_after: 1,
            drop_after: 1,
        };
        for now in 0..2 {
            self.pool.sweep(now, patience, &mut Cpu::new(&self.bus));
        }
    }

    /// L1 begins anew, when no CPU runs a guest: all is given back.
    fn reset(&self) {
        self.pool.all().clear(&mut Cpu::new(&self.bus));
        assert_eq!(self.bus.lock().unwrap().arena.used(), 0, "every page is back");
    }
}

/// Plays the CPUs in every order in which they are interrupted `interrupts` times at most, then a reset.
fn check<const N: usize>(interrupts: usize, cpus: &'static [fn(&Machine<N>)]) {
    check_with::<N>(8, interrupts, cpus);
}

/// The same with so many `pages` for tables.
fn check_with<const N: usize>(pages: usize, interrupts: usize, cpus: &'static [fn(&Machine<N>)]) {
    const STACK_BYTES: usize = 1 << 20;
    let mut checker = Builder::new();
    checker.preemption_bound = Some(interrupts);
    checker.max_branches = 10_000;
    checker.check(move || {
        let machine = Machine::<N>::new(pages);
        let threads: std::vec::Vec<_> = cpus
            .iter()
            .map(|cpu| {
                let machine = Arc::clone(&machine);
                let builder = thread::Builder::new().stack_size(STACK_BYTES);
                builder.spawn(move || cpu(&machine)).unwrap()
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        machine.reset();
    });
}

#[test]
fn what_l1_takes_back_is_not_used_after_its_tlbi() {
    check::<2>(
        2,
        &[
            |machine| machine.run_guest(0),
            |machine| machine.take_back(Cpu::new(&machine.bus)),
        ],
    );
}

#[test]
fn what_was_there_before_is_not_used_after_its_tlbi() {
    check::<2>(
        2,
        &[
            |machine| {
                machine.run_guest(0);
                machine.run_guest(0);
            },
            |machine| {
                machine.bus.lock().unwrap().l1.set(entry_of(0), 0);
                machine.tlbi(Cpu::new(&machine.bus));
                machine.bus.lock().unwrap().is_taken_back = true;
                machine.bus.lock().unwrap().l1.set(entry_of(0), OTHER | BLOCK);
            },
        ],
    );
}

#[test]
fn a_shadow_that_changes_hands_shows_nobody_what_was_another_guests() {
    check::<1>(2, &[|machine| machine.run_guest(0), |machine| machine.run_guest(1)]);
}

#[test]
fn a_dump_reads_no_page_that_was_freed() {
    check::<1>(
        2,
        &[
            |machine| {
                machine.run_guest(0);
                machine.run_guest(1);
            },
            Machine::dump,
        ],
    );
}

#[test]
fn a_sweep_takes_nothing_from_who_runs() {
    check::<1>(2, &[|machine| machine.run_guest(0), Machine::sweep]);
}

#[test]
fn a_slot_that_is_swept_and_given_away_shows_nobody_what_was_another_guests() {
    check::<1>(
        2,
        &[
            |machine| {
                machine.run_guest(0);
                machine.run_guest(1);
            },
            Machine::sweep,
        ],
    );
}

#[test]
fn a_tlbi_a_fault_and_a_slot_that_changes_hands_agree() {
    check::<1>(
        2,
        &[
            |machine| machine.run_guest(0),
            |machine| machine.run_guest(1),
            |machine| machine.take_back(Cpu::new(&machine.bus)),
        ],
    );
}

/// Two roots, and one table for both: who lacks it locks all, and takes it from the other.
#[test]
fn guests_that_take_pages_from_each_other_see_their_own_and_wait_in_no_circle() {
    check_with::<2>(3, 2, &[|machine| machine.run_guest(0), |machine| machine.run_guest(1)]);
    check_with::<2>(
        3,
        1,
        &[
            |machine| machine.run_guest(0),
            |machine| machine.run_guest(1),
            |machine| machine.take_back(Cpu::new(&machine.bus)),
        ],
    );
}

/// What is taken out of its slot is nobody else's only because nobody else assigns.
#[test]
#[should_panic(expected = "another guest's memory")]
fn a_slot_given_up_without_the_lock_would_show_another_guests_memory() {
    check::<1>(
        2,
        &[
            |machine| {
                machine.run_guest(0);
                machine.run_guest(1);
            },
            |machine| {
                let held = machine.pool.lock(SlotId(0)).unwrap();
                if let Some(shadow) = machine.pool.take(SlotId(0), held, |_| true) {
                    shadow.destroy(&mut Cpu::new(&machine.bus));
                }
            },
        ],
    );
}

/// Why a fault holds its lock from the walk to the fill: L1's descriptor is read, L1 invalidates, and then what was
/// read is mapped.
#[test]
#[should_panic(expected = "used after its TLBI")]
fn a_descriptor_read_without_the_lock_would_outlive_its_tlbi() {
    check::<2>(
        2,
        &[
            |machine| {
                let (slot, vttbr, config) = machine.acquire(0).unwrap();
                let read_before = machine.bus.lock().unwrap().l1.get(entry_of(0)).ok();
                let cpu = Cpu {
                    read_before,
                    ..Cpu::new(&machine.bus)
                };
                machine.fault(slot, cpu);
                machine.access(0, vttbr, &config);
                machine.release(slot);
            },
            |machine| machine.take_back(Cpu::new(&machine.bus)),
        ],
    );
}

#[test]
#[should_panic(expected = "used after its TLBI")]
fn a_tlb_that_is_invalidated_before_the_table_would_know_it_again() {
    check::<2>(
        2,
        &[
            |machine| {
                let (slot, vttbr, config) = machine.acquire(0).unwrap();
                machine.fault(slot, Cpu::new(&machine.bus));
                machine.access(0, vttbr, &config);
                machine.access(0, vttbr, &config);
                machine.release(slot);
            },
            |machine| {
                machine.bus.lock().unwrap().tlb.clear();
                let cpu = Cpu {
                    is_forgetful: true,
                    ..Cpu::new(&machine.bus)
                };
                machine.take_back(cpu);
            },
        ],
    );
}

#[test]
#[should_panic(expected = "another guest's memory")]
fn a_shadow_used_after_its_release_would_show_another_guests_memory() {
    check::<1>(
        2,
        &[
            |machine| {
                let (slot, vttbr, config) = machine.acquire(0).unwrap();
                machine.release(slot);
                machine.access(0, vttbr, &config);
            },
            |machine| machine.run_guest(1),
        ],
    );
}
