//! The terminal at the other end of the debug UART.

use core::fmt::{self, Write};

use hyp::dev::uart::{self, Uart};

/// How the UART is reached. Text goes out whole: what another CPU logs comes before or after it.
pub enum Terminal {
    /// Through the UART's lock, taken for each piece of text.
    Shared,
    /// By a handle of one's own, when the lock may never be given back.
    Own(Uart),
}

impl Terminal {
    /// The next byte received, if there is one.
    pub fn read(&mut self) -> Option<u8> {
        self.with(Uart::read).flatten()
    }

    /// Whether the UART interrupts when something arrives.
    pub fn set_receive_interrupt(&mut self, is_on: bool) {
        self.with(|uart| uart.set_receive_interrupt(is_on));
    }

    fn with<T>(&mut self, f: impl FnOnce(&mut Uart) -> T) -> Option<T> {
        match self {
            Self::Shared => uart::with(f),
            Self::Own(uart) => Some(f(uart)),
        }
    }
}

impl Write for Terminal {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.with(|uart| uart.write_str(text)).unwrap_or(Ok(()))
    }
}
