//! The debug UART, and the log on it.
//!
//! One lock for ordinary output. The panic path takes no lock: it makes itself a second handle from the address and
//! may garble a line that another CPU was printing, which is better than silence.

use core::{
    fmt::{self, Write},
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use arm_pl011_uart::{DataBits, Interrupts, LineConfig, PL011Registers, Parity, StopBits, UniqueMmioPointer};
use log::{LevelFilter, Log, Metadata, Record};
use spin::Mutex;

/// Text in, bytes with CR LF line ends out.
pub struct Uart(arm_pl011_uart::Uart<'static>);

// SAFETY: device registers have no owner thread.
unsafe impl Send for Uart {}

/// QEMU's PL011 takes any speed; a real terminal would want this one.
const BAUD_RATE: u32 = 115_200;
const CLOCK_HZ: u32 = 24_000_000;

impl Uart {
    /// A handle to the PL011 at `base`.
    ///
    /// # Safety
    ///
    /// `base` is a PL011 mapped as Device memory. Another handle may exist only where garbled output is acceptable.
    unsafe fn new(base: u64) -> Option<Self> {
        let registers = NonNull::new(base as *mut PL011Registers)?;
        // SAFETY: the caller vouches for the address.
        Some(Self(arm_pl011_uart::Uart::new(unsafe {
            UniqueMmioPointer::new(registers)
        })))
    }

    fn enable(&mut self) {
        let config = LineConfig {
            data_bits: DataBits::Bits8,
            parity: Parity::None,
            stop_bits: StopBits::One,
        };
        // Only an impossible divisor fails, and this one is not.
        let _ = self.0.enable(config, BAUD_RATE, CLOCK_HZ);
    }

    /// Whether the UART interrupts when bytes have arrived, also when the FIFO does not fill up.
    pub fn set_receive_interrupt(&mut self, is_on: bool) {
        let masks = if is_on {
            Interrupts::RXI | Interrupts::RTI
        } else {
            Interrupts::empty()
        };
        self.0.set_interrupt_masks(masks);
    }

    /// The next byte received, if there is one. Line errors are skipped.
    pub fn read(&mut self) -> Option<u8> {
        loop {
            match self.0.read_word() {
                Ok(byte) => return byte,
                Err(_) => continue,
            }
        }
    }

    /// Sends one byte, waiting for room.
    pub fn write_byte(&mut self, byte: u8) {
        while self.0.is_tx_fifo_full() {
            core::hint::spin_loop();
        }
        self.0.write_word(byte);
    }
}

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.write_byte(b'\r');
            }
            self.write_byte(byte);
        }
        Ok(())
    }
}

static DEBUG: Mutex<Option<Uart>> = Mutex::new(None);
static DEBUG_BASE: AtomicU64 = AtomicU64::new(0);

/// Takes the debug UART into use, and the log with it.
///
/// # Safety
///
/// `base` is a PL011 mapped as Device memory that nobody else drives.
pub unsafe fn init(base: u64) {
    // SAFETY: the caller vouches for it.
    let mut uart = unsafe { Uart::new(base) };
    if let Some(uart) = &mut uart {
        uart.enable();
    }
    *DEBUG.lock() = uart;
    DEBUG_BASE.store(base, Ordering::Release);
    // Fails only when a logger is set already, and then this one is.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(LevelFilter::Info);
}

/// Leaves the UART to L1. A panic is said on it all the same.
pub fn leave() {
    *DEBUG.lock() = None;
}

/// Runs `f` with the debug UART, if there is one yet.
pub fn with<T>(f: impl FnOnce(&mut Uart) -> T) -> Option<T> {
    DEBUG.lock().as_mut().map(f)
}

/// A second handle to the debug UART, for when nothing can be trusted any more.
pub fn without_lock() -> Option<Uart> {
    // SAFETY: `init` was told the address; the panic path accepts garbled output.
    unsafe { Uart::new(DEBUG_BASE.load(Ordering::Acquire)) }
}

/// A handle to a UART that gnomon does not own, for the last words of a boot that fails before L1 runs.
///
/// # Safety
///
/// `base` is a PL011 mapped as Device memory, and L1 does not run.
pub unsafe fn borrow(base: u64) -> Option<Uart> {
    // SAFETY: the caller vouches for it.
    let mut uart = unsafe { Uart::new(base) }?;
    uart.enable();
    Some(uart)
}

struct Logger;

static LOGGER: Logger = Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            with(|uart| writeln!(uart, "[gnomon] {}", record.args()));
        }
    }

    fn flush(&self) {}
}
