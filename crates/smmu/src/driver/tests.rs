use core::cell::{Cell, RefCell};
use std::{collections::BTreeMap, vec::Vec};

use proptest::{collection::vec as many, prelude::*};

use super::*;

/// Where the driver's memory is in the model.
const MEMORY: u64 = 0x4080_0000;
const ROOT: u64 = 0x4200_0000;

/// A model of the hardware: what QEMU's has, with registers that are in force at once.
#[derive(Default)]
struct Model {
    registers: RefCell<BTreeMap<usize, u64>>,
    memory: RefCell<BTreeMap<u64, u64>>,
    /// Stores that the SMMU may not see yet.
    unordered: Cell<bool>,
    /// Whether there was a moment at which nothing was translated and nothing aborted.
    was_open: Cell<bool>,
    /// Opcodes of commands carried out.
    commands: RefCell<Vec<u64>>,
    /// It never acknowledges.
    is_deaf: bool,
}

impl Model {
    fn new() -> Self {
        let model = Self::default();
        for (register, value) in [
            (IDR0, 0x0d44_101b),
            (IDR1, 0x0273_0010),
            (IDR5, 0x74),
            (AIDR, 1),
            (GBPA, 0x1000),
        ] {
            model.set(register, value);
        }
        // Firmware left it on, with a table of its own.
        model.set(CR0, u64::from(CR0_SMMUEN));
        model.set(CR0ACK, u64::from(CR0_SMMUEN));
        model
    }

    fn get(&self, register: usize) -> u64 {
        self.registers.borrow().get(&register).copied().unwrap_or(0)
    }

    fn set(&self, register: usize, value: u64) {
        self.registers.borrow_mut().insert(register, value);
    }

    fn word(&self, at: u64) -> u64 {
        self.memory.borrow().get(&at).copied().unwrap_or(0)
    }

    /// The entry of a stream, as the architecture finds it.
    fn entry(&self, stream: u64) -> Option<Ste> {
        let (base, config) = (self.get(STRTAB_BASE) & 0xf_ffff_ffff_ffc0, self.get(STRTAB_BASE_CFG));
        let (split, bits) = (config >> 6 & 0x1f, config & 0x3f);
        assert_eq!(config >> 16, 1, "two levels");
        assert!(base.is_multiple_of(8 << (bits - split)), "aligned to its size");
        if stream >> bits != 0 {
            return None;
        }
        let descriptor = self.word(base + (stream >> split) * 8);
        let (span, table) = (descriptor & 0x1f, descriptor & 0xf_ffff_ffff_ffc0);
        let index = stream & ((1 << split) - 1);
        if span == 0 || index >= 1 << (span - 1) {
            return None;
        }
        let word = |at: u64| self.word(table + index * 64 + at * 8);
        Some([0, 1, 2, 3, 4, 5, 6, 7].map(word))
    }

    /// Notes whether a device could reach what it should not: without a table nothing is translated.
    fn look(&self) {
        let is_on = self.get(CR0) as u32 & CR0_SMMUEN != 0;
        let aborts = self.get(GBPA) as u32 & GBPA_ABORT != 0;
        if !is_on && !aborts {
            self.was_open.set(true);
        }
    }

    /// Carries out what is in the command queue.
    fn run_commands(&self) {
        assert!(!self.unordered.get(), "commands are visible before the index moves");
        let base = self.get(CMDQ_BASE) & 0xf_ffff_ffff_ffe0;
        let mut indices = Indices::of(self.get(CMDQ_PROD) as u32, self.get(CMDQ_CONS) as u32);
        while let Some(place) = indices.read() {
            self.commands
                .borrow_mut()
                .push(self.word(base + place as u64 * 16) & 0xff);
        }
        self.set(CMDQ_CONS, u64::from(indices.consumer));
    }

    /// A device is refused something: `false` if the queue is full, and the event lost.
    fn push_event(&self, stream: u32) -> bool {
        let base = self.get(EVENTQ_BASE) & 0xf_ffff_ffff_ffe0;
        let producer = self.get(EVENTQ_PROD) as u32;
        let mut indices = Indices::of(producer, self.get(EVENTQ_CONS) as u32);
        if indices.producer ^ indices.consumer == 1 << Indices::BITS {
            let overflow = !(self.get(EVENTQ_CONS) as u32) & OVERFLOW;
            self.set(EVENTQ_PROD, u64::from(indices.producer | overflow));
            return false;
        }
        let at = base + indices.write() as u64 * 32;
        self.memory.borrow_mut().insert(at, u64::from(stream) << 32 | 0x10);
        self.set(EVENTQ_PROD, u64::from(indices.producer | producer & OVERFLOW));
        true
    }
}

impl Hardware for Model {
    fn read(&self, register: usize) -> u32 {
        self.get(register) as u32
    }

    fn write(&self, register: usize, value: u32) {
        let value = if register == GBPA { value & !GBPA_UPDATE } else { value };
        self.set(register, value.into());
        match register {
            CR0 if !self.is_deaf => {
                assert!(
                    !self.unordered.get() || value == 0,
                    "tables are visible before they are in force"
                );
                // ATSCHK is none of its features.
                self.set(CR0ACK, u64::from(value & !CR0_ATSCHK));
            }
            CMDQ_PROD if value != 0 => self.run_commands(),
            _ => {}
        }
        self.look();
    }

    fn write_long(&self, register: usize, value: u64) {
        assert_eq!(self.get(CR0ACK), 0, "bases change only while nothing is on");
        self.set(register, value);
    }

    fn load(&self, at: u64) -> u64 {
        assert!(
            (MEMORY..MEMORY + size_of::<Memory>() as u64).contains(&at),
            "{at:#x} is not its own"
        );
        self.word(at)
    }

    fn store(&self, at: u64, word: u64) {
        self.load(at);
        self.unordered.set(true);
        self.memory.borrow_mut().insert(at, word);
    }

    fn barrier(&self) {
        self.unordered.set(false);
    }

    fn page(&self) -> Option<u64> {
        None
    }
}

fn started(model: &Model) -> Driver {
    let features = probe(model, 0xffff).unwrap();
    let driver = Driver::new(model, features, MEMORY).unwrap();
    driver.start(model, ROOT).unwrap();
    driver
}

#[test]
fn every_stream_gets_the_table_and_no_moment_is_open() {
    let model = Model::new();
    started(&model);
    let wanted = Stage2 { root: ROOT, vmid: VMID }.entry();
    for stream in [0, 1, 0x10, 0x3f, 0x40, 0x1234, 0xffff] {
        assert_eq!(model.entry(stream), Some(wanted), "stream {stream:#x}");
    }
    assert_eq!(model.entry(0x1_0000), None);
    assert!(!model.was_open.get());
    assert_eq!(model.commands.take(), [0x04, 0x30, 0x46]);
    let on = CR0_SMMUEN | CR0_CMDQEN | CR0_EVENTQEN | CR0_ATSCHK;
    assert_eq!(model.get(CR0), u64::from(on));
    assert_eq!(model.get(IRQ_CTRL), 5);
}

#[test]
fn what_is_probed_is_left_as_it_is() {
    let model = Model::new();
    let before = model.registers.borrow().clone();
    assert!(probe(&model, 0xffff).is_ok());
    assert_eq!(probe(&model, 0x1_0000), Err(Unfit::FewStreams));
    assert_eq!(*model.registers.borrow(), before);
}

#[test]
fn one_that_does_not_answer_is_left_aborting() {
    let model = Model {
        is_deaf: true,
        ..Model::new()
    };
    let features = probe(&model, 0xffff).unwrap();
    assert_eq!(Driver::new(&model, features, MEMORY).err(), Some(Silent));
    assert_ne!(model.get(GBPA) as u32 & GBPA_ABORT, 0);
}

#[test]
fn an_error_is_new_once() {
    let model = Model::new();
    let driver = started(&model);
    assert_eq!(driver.take_errors(&model), 0);
    model.set(GERROR, 4);
    assert_eq!(driver.take_errors(&model), 4);
    assert_eq!(driver.take_errors(&model), 0);
}

proptest! {
    #[test]
    fn events_come_once_and_in_order_and_none_blocks_the_next(
        bursts in many((0_usize..300, 0_usize..4), 1..12),
    ) {
        let model = Model::new();
        let driver = started(&model);
        let (mut next, mut sent, mut taken) = (0, Vec::new(), Vec::new());
        for (count, rounds) in bursts {
            for _ in 0..count {
                if model.push_event(next) {
                    sent.push(next);
                }
                next += 1;
            }
            for _ in 0..rounds {
                driver.take_events(&model, &mut |record| taken.push((record[0] >> 32) as u32));
            }
        }
        while driver.take_events(&model, &mut |record| taken.push((record[0] >> 32) as u32)) {}
        prop_assert_eq!(taken, sent);
        prop_assert_eq!((model.get(EVENTQ_PROD) ^ model.get(EVENTQ_CONS)) >> 31 & 1, 0, "an overflow is seen");
        prop_assert!(model.push_event(0));
    }

    #[test]
    fn a_round_ends_whatever_the_index_says(producer: u32, consumer: u32) {
        let model = Model::new();
        let driver = started(&model);
        model.set(EVENTQ_PROD, producer.into());
        model.set(EVENTQ_CONS, consumer.into());
        let mut count = 0;
        driver.take_events(&model, &mut |_| count += 1);
        prop_assert!(count <= Indices::ENTRIES);
    }
}
