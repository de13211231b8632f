//! How the SMMU is driven.
//!
//! The steps are here and the registers elsewhere ([`Hardware`]), so that a model of the hardware can check their order:
//! from the first one on there is no moment at which a device reaches anything but what the table maps.

use crate::{Command, Features, Ids, Indices, OVERFLOW, Split, Stage2, Ste, Unfit, features::STREAM_BITS_MAX};

/// Registers by their offset (IHI 0070, "Register overview").
pub mod register {
    /// `SMMU_IDR0`
    pub const IDR0: usize = 0x00;
    /// `SMMU_IDR1`
    pub const IDR1: usize = 0x04;
    /// `SMMU_IDR5`
    pub const IDR5: usize = 0x14;
    /// `SMMU_AIDR`
    pub const AIDR: usize = 0x1c;
    /// `SMMU_CR0`
    pub const CR0: usize = 0x20;
    /// `SMMU_CR0ACK`
    pub const CR0ACK: usize = 0x24;
    /// `SMMU_CR1`
    pub const CR1: usize = 0x28;
    /// `SMMU_CR2`
    pub const CR2: usize = 0x2c;
    /// `SMMU_GBPA`
    pub const GBPA: usize = 0x44;
    /// `SMMU_IRQ_CTRL`
    pub const IRQ_CTRL: usize = 0x50;
    /// `SMMU_GERROR`
    pub const GERROR: usize = 0x60;
    /// `SMMU_GERRORN`
    pub const GERRORN: usize = 0x64;
    /// `SMMU_STRTAB_BASE`, of 64 bits.
    pub const STRTAB_BASE: usize = 0x80;
    /// `SMMU_STRTAB_BASE_CFG`
    pub const STRTAB_BASE_CFG: usize = 0x88;
    /// `SMMU_CMDQ_BASE`, of 64 bits.
    pub const CMDQ_BASE: usize = 0x90;
    /// `SMMU_CMDQ_PROD`
    pub const CMDQ_PROD: usize = 0x98;
    /// `SMMU_CMDQ_CONS`
    pub const CMDQ_CONS: usize = 0x9c;
    /// `SMMU_EVENTQ_BASE`, of 64 bits.
    pub const EVENTQ_BASE: usize = 0xa0;
    /// `SMMU_EVENTQ_PROD`, in the second page of 64 KiB.
    pub const EVENTQ_PROD: usize = 0x1_00a8;
    /// `SMMU_EVENTQ_CONS`, in the second page of 64 KiB.
    pub const EVENTQ_CONS: usize = 0x1_00ac;
}
use register::{
    AIDR, CMDQ_BASE, CMDQ_CONS, CMDQ_PROD, CR0, CR0ACK, CR1, CR2, EVENTQ_BASE, EVENTQ_CONS, EVENTQ_PROD, GBPA, GERROR,
    GERRORN, IDR0, IDR1, IDR5, IRQ_CTRL, STRTAB_BASE, STRTAB_BASE_CFG,
};

pub(crate) const GBPA_UPDATE: u32 = 1 << 31;
pub(crate) const GBPA_ABORT: u32 = 1 << 20;
pub(crate) const CR0_SMMUEN: u32 = 1 << 0;
pub(crate) const CR0_EVENTQEN: u32 = 1 << 2;
pub(crate) const CR0_CMDQEN: u32 = 1 << 3;
/// What a device says it has had translated is looked up all the same.
pub(crate) const CR0_ATSCHK: u32 = 1 << 4;
/// Tables and queues are inner shareable and write-back.
const CR1_COHERENT: u32 = 0xd75;
/// TLBIs of the CPUs are not for the SMMU; streams that are in no table are told of.
const CR2_PTM_RECINVSID: u32 = 1 << 2 | 1 << 1;
const IRQ_CTRL_EVENTQ_GERROR: u32 = 1 << 2 | 1 << 0;
/// A hint of the bases of tables and queues: allocate in caches.
const BASE_ALLOCATE: u64 = 1 << 62;
/// What its translations are cached under; there is no other.
const VMID: u16 = 1;

/// Registers of an SMMU, and the memory that it shares with its driver.
pub trait Hardware {
    /// Reads a register.
    fn read(&self, register: usize) -> u32;
    /// Writes a register.
    fn write(&self, register: usize, value: u32);
    /// Writes a register of 64 bits.
    fn write_long(&self, register: usize, value: u64);
    /// Reads a word of [`Memory`] or of a page.
    fn load(&self, at: u64) -> u64;
    /// Writes a word of [`Memory`] or of a page.
    fn store(&self, at: u64, word: u64);
    /// Has everything before it done, for the SMMU too, before anything behind it.
    fn barrier(&self);
    /// A page of zeros, for a table.
    fn page(&self) -> Option<u64>;
}

/// What the SMMU reads and writes, in the order of alignment.
#[repr(C, align(8192))]
pub struct Memory {
    /// First level of the stream table: all of it leads to `entries`.
    directory: [u64; DIRECTORY_ENTRIES],
    /// Second level: every stream is the same.
    entries: [Ste; Split::ENTRIES],
    events: [[u64; 4]; Indices::ENTRIES],
    commands: [[u64; 2]; Indices::ENTRIES],
}

const DIRECTORY_ENTRIES: usize = 1 << (STREAM_BITS_MAX - Split::BITS);

// Where the parts of `Memory` are.
const ENTRIES_AT: u64 = core::mem::offset_of!(Memory, entries) as u64;
const EVENTS_AT: u64 = core::mem::offset_of!(Memory, events) as u64;
const COMMANDS_AT: u64 = core::mem::offset_of!(Memory, commands) as u64;
const STE_BYTES: usize = size_of::<Ste>();
/// A record has 32 bytes.
const EVENT_SHIFT: u32 = 5;
/// A command has 16 bytes.
const COMMAND_SHIFT: u32 = 4;

/// The SMMU does not do what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent;

/// Looks at an SMMU, whose streams go up to `last_stream`, and changes nothing.
///
/// # Errors
///
/// It cannot be used as it is meant to be here.
#[inline(never)]
pub fn probe(hardware: &dyn Hardware, last_stream: u32) -> Result<Features, Unfit> {
    let ids = Ids {
        idr0: hardware.read(IDR0),
        idr1: hardware.read(IDR1),
        idr5: hardware.read(IDR5),
        aidr: hardware.read(AIDR),
    };
    Features::of(&ids, last_stream)
}

/// An SMMU in use.
#[derive(Clone, Copy, Debug)]
pub struct Driver {
    /// What it has.
    pub features: Features,
    /// Where its [`Memory`] is.
    memory: u64,
}

impl Driver {
    /// Has every transaction aborted from now on, on an SMMU that [`probe`] found to have `features`. `memory` is where a
    /// [`Memory`] of zeros is, for its use alone.
    ///
    /// # Errors
    ///
    /// [`Silent`]
    #[inline(never)]
    pub fn new(hardware: &dyn Hardware, features: Features, memory: u64) -> Result<Self, Silent> {
        hardware.write(GBPA, hardware.read(GBPA) | GBPA_ABORT | GBPA_UPDATE);
        wait(&|| hardware.read(GBPA) & GBPA_UPDATE == 0)?;
        hardware.write(IRQ_CTRL, 0);
        hardware.write(CR0, 0);
        wait(&|| hardware.read(CR0ACK) == 0)?;
        Ok(Self { features, memory })
    }

    /// Has every transaction translated by the table of stage 2 with this root, and faults told.
    ///
    /// # Errors
    ///
    /// [`Silent`]; what is not translated is still aborted.
    #[inline(never)]
    pub fn start(&self, hardware: &dyn Hardware, root: u64) -> Result<(), Silent> {
        self.fill(hardware, root);
        let stream_bits = self.features.stream_bits.min(STREAM_BITS_MAX);
        let queue = |at| (self.memory + at) | BASE_ALLOCATE | u64::from(Indices::BITS);
        hardware.write(CR1, CR1_COHERENT);
        hardware.write(CR2, CR2_PTM_RECINVSID);
        hardware.write_long(STRTAB_BASE, self.memory | BASE_ALLOCATE);
        hardware.write(STRTAB_BASE_CFG, Split::config(stream_bits));
        hardware.write_long(CMDQ_BASE, queue(COMMANDS_AT));
        hardware.write_long(EVENTQ_BASE, queue(EVENTS_AT));
        for index in [CMDQ_PROD, CMDQ_CONS, EVENTQ_PROD, EVENTQ_CONS] {
            hardware.write(index, 0);
        }
        switch_on(hardware, CR0_CMDQEN)?;
        self.command(hardware)?;
        switch_on(hardware, CR0_CMDQEN | CR0_EVENTQEN)?;
        hardware.write(IRQ_CTRL, IRQ_CTRL_EVENTQ_GERROR);
        switch_on(hardware, CR0_CMDQEN | CR0_EVENTQEN | CR0_SMMUEN)
    }

    /// Writes the stream table: every stream is translated by the table at `root`.
    fn fill(&self, hardware: &dyn Hardware, root: u64) {
        let entry = Stage2 { root, vmid: VMID }.entry();
        let entries = self.memory + ENTRIES_AT;
        for at in (entries..self.memory + EVENTS_AT).step_by(STE_BYTES) {
            store(hardware, at, &entry);
        }
        for at in (self.memory..entries).step_by(8) {
            hardware.store(at, Split::descriptor(entries));
        }
        hardware.barrier();
    }

    /// Has the commands of boot carried out.
    fn command(&self, hardware: &dyn Hardware) -> Result<(), Silent> {
        let mut indices = Indices::default();
        for command in Command::BOOT {
            let at = self
                .memory
                .wrapping_add(COMMANDS_AT | (indices.write() as u64) << COMMAND_SHIFT);
            store(hardware, at, &command.encode());
        }
        hardware.barrier();
        hardware.write(CMDQ_PROD, indices.producer);
        wait(&|| hardware.read(CMDQ_CONS) == indices.producer)
    }

    /// Takes records of events off the queue, as many as it holds. Says whether more are there.
    #[inline(never)]
    pub fn take_events(&self, hardware: &dyn Hardware, f: &mut dyn FnMut([u64; 4])) -> bool {
        let (producer, consumer) = (hardware.read(EVENTQ_PROD), hardware.read(EVENTQ_CONS));
        // What the index says has been written is read only afterwards.
        hardware.barrier();
        let mut indices = Indices::of(producer, consumer);
        for _ in 0..Indices::ENTRIES {
            let Some(place) = indices.read() else { break };
            let at = self.memory.wrapping_add(EVENTS_AT | (place as u64) << EVENT_SHIFT);
            let mut record = [0; 4];
            for (index, word) in record.iter_mut().enumerate() {
                *word = hardware.load(at | (index as u64) << 3);
            }
            f(record);
        }
        // The places are free only once they have been read. An overflow has been seen.
        hardware.barrier();
        hardware.write(EVENTQ_CONS, indices.consumer | producer & OVERFLOW);
        !Indices::of(hardware.read(EVENTQ_PROD), indices.consumer).is_empty()
    }

    /// Takes note of global errors. Gives those that are new.
    pub fn take_errors(&self, hardware: &dyn Hardware) -> u32 {
        let errors = hardware.read(GERROR);
        let new = errors ^ hardware.read(GERRORN);
        hardware.write(GERRORN, errors);
        new
    }
}

/// Writes an entry or a command, at a multiple of its size.
fn store(hardware: &dyn Hardware, at: u64, words: &[u64]) {
    for (index, word) in words.iter().enumerate() {
        hardware.store(at | (index as u64) << 3, *word);
    }
}

/// Sets `CR0`, and waits until it is in force.
fn switch_on(hardware: &dyn Hardware, enables: u32) -> Result<(), Silent> {
    hardware.write(CR0, enables | CR0_ATSCHK);
    wait(&|| hardware.read(CR0ACK) & enables == enables)
}

/// Waits until `is_done`, but not for ever.
fn wait(is_done: &dyn Fn() -> bool) -> Result<(), Silent> {
    const ROUNDS: u32 = 1_000_000;
    if (0..ROUNDS).any(|_| is_done()) {
        Ok(())
    } else {
        Err(Silent)
    }
}

#[cfg(test)]
mod tests;
