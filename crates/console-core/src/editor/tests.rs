//! The editor against a small terminal: what the user sees must be the line.

extern crate std;
use std::{string::String, vec::Vec};

use proptest::prelude::*;

use super::*;
use crate::{complete::NoCompletion, line::LINE_BYTES};

/// A terminal of one endless row, as far as the editor asks for one.
#[derive(Default)]
struct Terminal {
    row: Vec<u8>,
    column: usize,
    bells: usize,
    pending: String,
    finished: Vec<String>,
}

impl Terminal {
    fn put(&mut self, byte: u8) {
        match byte {
            0x07 => self.bells += 1,
            b'\n' => {
                let row = core::mem::take(&mut self.row);
                self.finished.push(String::from_utf8(row).expect("ASCII"));
                self.column = 0;
            }
            _ => {
                self.row.resize(self.row.len().max(self.column + 1), b' ');
                self.row[self.column] = byte;
                self.column += 1;
            }
        }
    }

    fn escape(&mut self, sequence: &str) {
        match sequence {
            "\x1b[K" => self.row.truncate(self.column),
            "\x1b[2J" => self.row.clear(),
            "\x1b[H" => self.column = 0,
            _ => {
                let columns: usize = sequence
                    .strip_prefix("\x1b[")
                    .and_then(|rest| rest.strip_suffix('D'))
                    .expect("a known sequence")
                    .parse()
                    .expect("a number");
                self.column = self.column.checked_sub(columns).expect("inside the row");
            }
        }
    }

    fn text(&self) -> &str {
        core::str::from_utf8(&self.row).expect("ASCII")
    }
}

impl Write for Terminal {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            if !self.pending.is_empty() || byte == 0x1b {
                self.pending.push(char::from(byte));
                if byte.is_ascii_alphabetic() {
                    let sequence = core::mem::take(&mut self.pending);
                    self.escape(&sequence);
                }
            } else {
                self.put(byte);
            }
        }
        Ok(())
    }
}

/// Types `bytes` at a fresh editor; gives the editor, its terminal and the
/// events that were not `None`.
fn typed(bytes: &[u8]) -> (Editor, Terminal, Vec<Event>) {
    typed_with(bytes, &NoCompletion)
}

fn typed_with(bytes: &[u8], completer: &dyn Completer) -> (Editor, Terminal, Vec<Event>) {
    let mut editor = Editor::new();
    let mut terminal = Terminal::default();
    editor.prompt(&mut terminal);
    let mut events = Vec::new();
    for &byte in bytes {
        match editor.input(byte, completer, &mut terminal) {
            Event::None => {}
            event => {
                events.push(event);
                editor.prompt(&mut terminal);
            }
        }
    }
    (editor, terminal, events)
}

/// The line after typing `bytes` and Return.
fn entered(bytes: &[u8]) -> String {
    let mut all = bytes.to_vec();
    all.push(b'\r');
    let (editor, ..) = typed(&all);
    editor.line().into()
}

fn words(_: &str, _: &str, found: &mut dyn FnMut(&str)) {
    for word in ["ptdump", "poweroff", "shadow", "shadow/0x40", "shadow/0x41"] {
        found(word);
    }
}

#[test]
fn keys_edit_where_the_cursor_is() {
    assert_eq!(entered(b"abd\x1b[Dc"), "abcd");
    assert_eq!(entered(b"bc\x01a\x05d"), "abcd");
    assert_eq!(entered(b"abx\x7fc"), "abc");
    assert_eq!(entered(b"xabc\x01\x04"), "abc");
    assert_eq!(entered(b"xabc\x1b[H\x1b[3~"), "abc");
    assert_eq!(entered(b"abc\x02\x02\x06X"), "abXc");
}

#[test]
fn kills_go_to_the_start_the_end_and_over_a_word() {
    assert_eq!(entered(b"abc def\x02\x02\x02\x15"), "def");
    assert_eq!(entered(b"abc def\x01\x06\x0b"), "a");
    assert_eq!(entered(b"abc def  \x17"), "abc ");
    assert_eq!(entered(b"abc\x17"), "");
}

#[test]
fn return_gives_the_line_once_and_starts_another() {
    let (editor, terminal, events) = typed(b"help\r\n");
    assert_eq!(events, [Event::Line]);
    assert_eq!(editor.line(), "help");
    assert_eq!(terminal.finished, ["gnomon> help"]);
    assert_eq!(terminal.text(), PROMPT);
    let (editor, ..) = typed(b"help\rx");
    assert_eq!(editor.line(), "x");
}

#[test]
fn cancel_drops_the_line() {
    let (editor, terminal, events) = typed(b"ptdump\x03");
    assert_eq!((events.as_slice(), editor.line()), (&[Event::Cancel][..], ""));
    assert_eq!(terminal.finished, ["gnomon> ptdump^C"]);
}

#[test]
fn full_line_rings_and_keeps_its_text() {
    let (editor, terminal, _) = typed(&[b'a'; LINE_BYTES + 3]);
    assert_eq!((editor.line().len(), terminal.bells), (LINE_BYTES, 3));
}

#[test]
fn history_goes_up_and_comes_back_to_the_draft() {
    let base = b"one\rtwo\rdra";
    let after = |keys: &[u8]| {
        let mut all = base.to_vec();
        all.extend_from_slice(keys);
        let (editor, terminal, _) = typed(&all);
        assert_eq!(terminal.text(), std::format!("{PROMPT}{}", editor.line()));
        String::from(editor.line())
    };
    assert_eq!(after(b"\x1b[A"), "two");
    assert_eq!(after(b"\x10\x10"), "one");
    assert_eq!(after(b"\x10\x10\x10"), "one");
    assert_eq!(after(b"\x10\x10\x0e"), "two");
    assert_eq!(after(b"\x10\x10\x0e\x0e"), "dra");
    assert_eq!(after(b"\x10x"), "twox");
}

#[test]
fn tab_completes_what_is_certain() {
    let line = |bytes: &[u8]| String::from(typed_with(bytes, &words).0.line());
    assert_eq!(line(b"pt\t"), "ptdump ");
    assert_eq!(line(b"ptdump sh\t"), "ptdump shadow");
    assert_eq!(line(b"ptdump shadow/\t"), "ptdump shadow/0x4");
    assert_eq!(line(b"pt x\x02\x02\t"), "ptdump  x");
}

#[test]
fn tab_lists_a_choice_and_shows_the_line_again() {
    let (_, terminal, _) = typed_with(b"shadow/0x4\t", &words);
    assert_eq!(terminal.finished, ["gnomon> shadow/0x4", "shadow/0x40  shadow/0x41  "]);
    assert_eq!(terminal.text(), "gnomon> shadow/0x4");
    let (_, terminal, _) = typed_with(b"zz\t", &words);
    assert_eq!((terminal.bells, terminal.text()), (1, "gnomon> zz"));
}

#[test]
fn clear_screen_keeps_the_line() {
    let (_, terminal, _) = typed(b"abc\x02\x0c");
    assert_eq!((terminal.text(), terminal.column), ("gnomon> abc", PROMPT.len() + 2));
}

proptest! {
    /// Whatever is typed: what the terminal shows is the prompt and the line,
    /// and the cursors agree.
    #[test]
    fn terminal_shows_the_line(bytes in prop::collection::vec(
        prop_oneof![4 => b' '..=b'z', 3 => 0u8..32, 1 => any::<u8>()], 0..400
    )) {
        let (editor, terminal, _) = typed_with(&bytes, &words);
        let line = if editor.is_complete { "" } else { editor.line() };
        let shown = std::format!("{PROMPT}{line}");
        prop_assert_eq!(terminal.text(), shown.as_str());
        let cursor = if editor.is_complete { 0 } else { editor.cursor };
        prop_assert_eq!(terminal.column, PROMPT.len() + cursor);
    }
}
