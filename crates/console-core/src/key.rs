//! Bytes to keys.
//!
//! Terminals send editing keys as control characters or as ANSI escape
//! sequences (ECMA-48: `ESC [`, parameters, a final byte; xterm's application
//! mode: `ESC O` and a letter). The decoder remembers where in a sequence it is
//! and no more. Line noise cannot lock it up: a byte that fits no sequence ends
//! the one begun, and a control character always has its own meaning, so Ctrl-C
//! works in the middle of anything.

/// What was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A printable ASCII character.
    Char(u8),
    /// Return, sent as CR, LF or CR LF.
    Enter,
    /// Ctrl-C.
    Cancel,
    /// Tab.
    Tab,
    /// Backspace or Ctrl-H: deletes before the cursor.
    Backspace,
    /// Delete or Ctrl-D: deletes at the cursor.
    Delete,
    /// Left or Ctrl-B.
    Left,
    /// Right or Ctrl-F.
    Right,
    /// Home or Ctrl-A.
    Home,
    /// End or Ctrl-E.
    End,
    /// Up or Ctrl-P.
    Up,
    /// Down or Ctrl-N.
    Down,
    /// Ctrl-U: deletes to the start of the line.
    KillToStart,
    /// Ctrl-K: deletes to the end of the line.
    KillToEnd,
    /// Ctrl-W: deletes the word before the cursor.
    KillWord,
    /// Ctrl-L: clears the screen.
    ClearScreen,
}

/// Where in a sequence the decoder is. With a tag of its own, so that a new decoder is all zero: an image need not hold
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
enum State {
    /// In none.
    #[default]
    Ground,
    /// After CR: a LF belongs to it.
    AfterCr,
    /// After ESC.
    Escape,
    /// After ESC O.
    Ss3,
    /// After ESC [ and parameter bytes; the first parameter so far.
    Csi { parameter: u8, is_first: bool },
}

/// The decoder.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoder {
    state: State,
}

impl Decoder {
    /// A decoder outside of any sequence.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Ground }
    }

    /// Takes a byte; gives the key it completes, if it does.
    pub fn decode(&mut self, byte: u8) -> Option<Key> {
        let state = core::mem::take(&mut self.state);
        if byte < 0x20 || byte == 0x7f {
            return self.control(byte, state);
        }
        match state {
            State::Ground | State::AfterCr => byte.is_ascii().then_some(Key::Char(byte)),
            State::Escape => {
                self.state = match byte {
                    b'[' => State::Csi {
                        parameter: 0,
                        is_first: true,
                    },
                    b'O' => State::Ss3,
                    _ => State::Ground,
                };
                None
            }
            State::Ss3 => cursor_key(byte),
            State::Csi { parameter, is_first } => self.csi(byte, parameter, is_first),
        }
    }

    /// A control character, which ends any sequence.
    fn control(&mut self, byte: u8, state: State) -> Option<Key> {
        match byte {
            0x01 => Some(Key::Home),
            0x02 => Some(Key::Left),
            0x03 => Some(Key::Cancel),
            0x04 => Some(Key::Delete),
            0x05 => Some(Key::End),
            0x06 => Some(Key::Right),
            0x08 | 0x7f => Some(Key::Backspace),
            b'\t' => Some(Key::Tab),
            b'\n' if state == State::AfterCr => None,
            b'\n' => Some(Key::Enter),
            b'\r' => {
                self.state = State::AfterCr;
                Some(Key::Enter)
            }
            0x0b => Some(Key::KillToEnd),
            0x0c => Some(Key::ClearScreen),
            0x0e => Some(Key::Down),
            0x10 => Some(Key::Up),
            0x15 => Some(Key::KillToStart),
            0x17 => Some(Key::KillWord),
            0x1b => {
                self.state = State::Escape;
                None
            }
            _ => None,
        }
    }

    /// A byte inside `ESC [`.
    fn csi(&mut self, byte: u8, parameter: u8, is_first: bool) -> Option<Key> {
        match byte {
            b'0'..=b'9' => {
                let digit = byte - b'0';
                let parameter = if is_first {
                    parameter.saturating_mul(10).saturating_add(digit)
                } else {
                    parameter
                };
                self.state = State::Csi { parameter, is_first };
                None
            }
            // Further parameters (modifiers) and intermediate bytes.
            0x20..=0x3f => {
                self.state = State::Csi {
                    parameter,
                    is_first: false,
                };
                None
            }
            b'~' => match parameter {
                1 | 7 => Some(Key::Home),
                3 => Some(Key::Delete),
                4 | 8 => Some(Key::End),
                _ => None,
            },
            _ => cursor_key(byte),
        }
    }
}

/// The final byte of a cursor key.
const fn cursor_key(byte: u8) -> Option<Key> {
    match byte {
        b'A' => Some(Key::Up),
        b'B' => Some(Key::Down),
        b'C' => Some(Key::Right),
        b'D' => Some(Key::Left),
        b'H' => Some(Key::Home),
        b'F' => Some(Key::End),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut decoder = Decoder::new();
        bytes.iter().filter_map(|&byte| decoder.decode(byte)).collect()
    }

    #[test]
    fn line_ends_of_all_three_kinds_are_one_enter_each() {
        assert_eq!(keys(b"\r"), [Key::Enter]);
        assert_eq!(keys(b"\n"), [Key::Enter]);
        assert_eq!(keys(b"\r\n"), [Key::Enter]);
        assert_eq!(keys(b"\n\n\r\r\n"), [Key::Enter; 4]);
    }

    #[test]
    fn cursor_keys_of_both_modes_and_the_numbered_keys() {
        assert_eq!(keys(b"\x1b[A\x1bOB"), [Key::Up, Key::Down]);
        assert_eq!(keys(b"\x1b[1~\x1b[4~\x1b[3~"), [Key::Home, Key::End, Key::Delete]);
        // With a modifier: Ctrl-Left.
        assert_eq!(keys(b"\x1b[1;5D"), [Key::Left]);
    }

    #[test]
    fn unknown_sequences_vanish_whole() {
        assert_eq!(keys(b"\x1b[99;1~a"), [Key::Char(b'a')]);
        assert_eq!(keys(b"\x1b[?25ha"), [Key::Char(b'a')]);
        assert_eq!(keys(b"\x1bxa"), [Key::Char(b'a')]);
        assert_eq!(keys(b"\x1b[99999999999999999999~a"), [Key::Char(b'a')]);
    }

    #[test]
    fn cancel_works_in_the_middle_of_a_sequence() {
        assert_eq!(keys(b"\x1b[1\x03"), [Key::Cancel]);
    }

    proptest! {
        /// Whatever came before: two letters later the decoder is in step.
        #[test]
        fn noise_does_not_lock_up(noise: Vec<u8>) {
            let mut decoder = Decoder::new();
            for byte in noise {
                decoder.decode(byte);
            }
            decoder.decode(0x03);
            prop_assert_eq!(decoder.decode(b'x'), Some(Key::Char(b'x')));
        }
    }
}
