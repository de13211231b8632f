//! A plugin for QEMU's TCG that counts how often each instruction of a range of virtual addresses is executed.
//!
//! `-plugin file=libinstruction_counter.so,base=0x..,bytes=0x..,socket=PATH`. The range is gnomon's text, which is
//! mapped at its physical address, and where no guest of the default payload has anything. Each line sent to the socket
//! is answered by what was counted since the last one, a line `ADDRESS COUNT` (hexadecimal, decimal) for each
//! instruction that was executed at all, and a line `end`.
//!
//! With `marks=FILE` instead of a socket, the sum of all counts is written to the file, a line each time that anybody
//! executes the mark, `HINT #112`. With `step=0x..` only one instruction of so many bytes is counted: of a table of
//! vectors that gives the exceptions.
//!
//! QEMU's plugin interface is C (`qemu-plugin.h`, version 3 and later have all that is used here), and a plugin finds
//! its functions in the program that loads it.
#![expect(unsafe_code, reason = "the interface of QEMU is C")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::thread;

/// The version of the interface that this was written for. QEMU refuses a plugin that is too old for it, and one that is
/// newer than it is.
// SAFETY: QEMU looks a plugin's version up by this name, and nothing else has it.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = 3;

/// Names this plugin to QEMU.
type PluginId = u64;
/// A translation block.
type Block = c_void;
/// An instruction of a block.
type Instruction = c_void;

/// `QEMU_PLUGIN_CB_NO_REGS`: the callback looks at no register.
const NO_REGISTERS: c_int = 0;

// SAFETY: the declarations are those of `qemu-plugin.h`.
unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: PluginId, callback: extern "C" fn(PluginId, *mut Block));
    fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    fn qemu_plugin_insn_vaddr(instruction: *const Instruction) -> u64;
    fn qemu_plugin_insn_data(instruction: *const Instruction, to: *mut c_void, bytes: usize) -> usize;
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut Instruction,
        callback: extern "C" fn(c_uint, *mut c_void),
        flags: c_int,
        data: *mut c_void,
    );
}

/// Bytes of an A64 instruction.
const INSTRUCTION_BYTES: u64 = 4;
/// `HINT #112`.
const MARK: u32 = 0xd503_2e1f;

/// How often each instruction of the range was executed.
struct Counters {
    base: u64,
    step: u64,
    counts: Box<[AtomicU64]>,
}

static COUNTERS: OnceLock<Counters> = OnceLock::new();
/// Where sums go.
static MARKS: OnceLock<Mutex<File>> = OnceLock::new();

impl Counters {
    /// The counter of the instruction at `address`.
    fn index_of(&self, address: u64) -> Option<usize> {
        let offset = address.checked_sub(self.base)?;
        let index = usize::try_from(offset / self.step).ok()?;
        (offset % self.step == 0 && index < self.counts.len()).then_some(index)
    }

    fn sum(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Takes what was counted, as text, and begins anew.
    fn take(&self) -> String {
        let mut text = String::new();
        for (address, count) in (self.base..).step_by(self.step as usize).zip(&self.counts) {
            let count = count.swap(0, Relaxed);
            if count > 0 {
                let _ = writeln!(text, "{address:x} {count}");
            }
        }
        text
    }
}

extern "C" fn on_executed(_cpu: c_uint, index: *mut c_void) {
    if let Some(count) = COUNTERS.get().and_then(|counters| counters.counts.get(index as usize)) {
        count.fetch_add(1, Relaxed);
    }
}

extern "C" fn on_marked(_cpu: c_uint, _data: *mut c_void) {
    if let (Some(counters), Some(marks)) = (COUNTERS.get(), MARKS.get())
        && let Ok(mut file) = marks.lock()
    {
        let _ = writeln!(file, "{}", counters.sum());
    }
}

/// Whether it is the mark.
///
/// # Safety
///
/// The instruction is one of a block that is being translated.
unsafe fn is_mark(instruction: *const Instruction) -> bool {
    let mut word = [0; INSTRUCTION_BYTES as usize];
    // SAFETY: the caller vouches for the instruction, and there is room for as many bytes.
    let bytes = unsafe { qemu_plugin_insn_data(instruction, word.as_mut_ptr().cast(), word.len()) };
    bytes == word.len() && u32::from_le_bytes(word) == MARK
}

extern "C" fn on_translated(_id: PluginId, block: *mut Block) {
    let Some(counters) = COUNTERS.get() else { return };
    // SAFETY: QEMU calls this with a block that is valid until this returns.
    let count = unsafe { qemu_plugin_tb_n_insns(block) };
    for index in 0..count {
        // SAFETY: as above, and the index is in range.
        let instruction = unsafe { qemu_plugin_tb_get_insn(block, index) };
        // SAFETY: the instruction is the block's.
        let address = unsafe { qemu_plugin_insn_vaddr(instruction) };
        // SAFETY: the instruction is the block's.
        if MARKS.get().is_some() && unsafe { is_mark(instruction) } {
            // SAFETY: as above.
            unsafe {
                qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_marked, NO_REGISTERS, ptr::null_mut());
            }
        }
        if let Some(index) = counters.index_of(address) {
            // SAFETY: as above; the data is a number, not an address.
            unsafe {
                qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_executed, NO_REGISTERS, index as *mut c_void);
            }
        }
    }
}

/// Answers one client.
fn serve(stream: UnixStream) -> std::io::Result<()> {
    let mut sink = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        line?;
        let text = COUNTERS.get().map(Counters::take).unwrap_or_default();
        sink.write_all(text.as_bytes())?;
        sink.write_all(b"end\n")?;
    }
    Ok(())
}

/// What the plugin was told on QEMU's command line.
struct Options {
    base: u64,
    bytes: u64,
    step: u64,
    to: Sink,
}

/// Where counts go.
enum Sink {
    /// Whoever asks.
    Socket(UnixListener),
    /// Sums, when there is a mark.
    Marks(File),
}

impl Options {
    fn parse(arguments: &[&str]) -> Option<Self> {
        let value = |name: &str| {
            let mut values = arguments.iter().filter_map(|argument| argument.split_once('='));
            values.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let number = |name| u64::from_str_radix(value(name)?.trim_start_matches("0x"), 16).ok();
        let to = match (value("socket"), value("marks")) {
            (Some(path), None) => Sink::Socket(told(path, UnixListener::bind(path))?),
            (None, Some(path)) => Sink::Marks(told(path, File::create(path))?),
            _ => return None,
        };
        Some(Self {
            base: number("base")?,
            bytes: number("bytes")?,
            step: number("step").filter(|&step| step > 0).unwrap_or(INSTRUCTION_BYTES),
            to,
        })
    }
}

/// What could be opened at `path`; else it is said why not.
fn told<T>(path: &str, opened: std::io::Result<T>) -> Option<T> {
    opened
        .inspect_err(|error| eprintln!("instruction-counter: {path}: {error}"))
        .ok()
}

/// Called by QEMU when it loads the plugin; what is not zero ends QEMU.
///
/// # Safety
///
/// `arguments` are `count` strings, as QEMU gives them.
// SAFETY: QEMU calls a plugin by this name, and nothing else has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: PluginId,
    _info: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    let texts: Vec<&str> = (0..usize::try_from(count).unwrap_or(0))
        // SAFETY: there are `count` of them, each a string that lasts as long as this call.
        .filter_map(|index| unsafe { CStr::from_ptr(*arguments.add(index)) }.to_str().ok())
        .collect();
    let Some(options) = Options::parse(&texts) else {
        eprintln!("instruction-counter: base=0x..,bytes=0x.. and either socket=PATH or marks=FILE are needed");
        return 1;
    };
    let _ = COUNTERS.set(Counters {
        base: options.base,
        step: options.step,
        counts: (0..options.bytes / options.step).map(|_| AtomicU64::new(0)).collect(),
    });
    match options.to {
        Sink::Socket(listener) => {
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let _ = serve(stream);
                }
            });
        }
        Sink::Marks(file) => {
            let _ = MARKS.set(Mutex::new(file));
        }
    }
    // SAFETY: the id is the one QEMU gave, and the callback lasts as long as the program.
    unsafe { qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated) };
    0
}
