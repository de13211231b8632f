//! Lines on the first PL011 of QEMU's `virt` board.
#![expect(unsafe_code, reason = "a device is driven by loads and stores")]

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

const UART0: *mut u32 = 0x0900_0000 as *mut u32;
/// `UARTFR`, in words.
const FLAGS: usize = 6;
/// The transmit FIFO is full.
const FLAG_TXFF: u32 = 1 << 5;
/// The receive FIFO is empty.
const FLAG_RXFE: u32 = 1 << 4;

static IS_TAKEN: AtomicBool = AtomicBool::new(false);

struct Uart;

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: both are registers of the UART, which the identity map has as a device.
            unsafe {
                while UART0.add(FLAGS).read_volatile() & FLAG_TXFF != 0 {}
                UART0.write_volatile(byte.into());
            }
        }
        Ok(())
    }
}

/// Prints one line; CPUs take turns.
pub fn print_line(line: fmt::Arguments<'_>) {
    while IS_TAKEN.swap(true, Ordering::Acquire) {
        core::hint::spin_loop();
    }
    let _ = writeln!(Uart, "{line}\r");
    IS_TAKEN.store(false, Ordering::Release);
}

/// Waits for a line to be typed on the first UART, and returns as much of it as there is room for.
pub fn take_line(room: &mut [u8]) -> &str {
    let mut used = 0;
    loop {
        // SAFETY: as for writing.
        let byte = unsafe {
            while UART0.add(FLAGS).read_volatile() & FLAG_RXFE != 0 {}
            UART0.read_volatile().to_le_bytes()[0]
        };
        if matches!(byte, b'\r' | b'\n') {
            return str::from_utf8(&room[..used]).unwrap_or("");
        }
        if let Some(place) = room.get_mut(used) {
            *place = byte;
            used += 1;
        }
    }
}

/// Prints a line on the first UART.
#[macro_export]
macro_rules! println {
    ($($argument:tt)*) => { $crate::uart::print_line(format_args!($($argument)*)) };
}
