//! What a terminal shows of what is sent to it, as text, piece by piece: an answer may have a million lines.

/// Text without carriage returns and terminal control sequences (`ESC [ ... letter`). The console sends ASCII; a byte
/// that is not stands as the replacement character.
#[derive(Debug, Default)]
pub(super) struct PlainText {
    text: String,
    state: State,
}

/// Where in a control sequence the last piece ended.
#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Outside.
    #[default]
    Text,
    /// After `ESC`.
    Escape,
    /// After `ESC [`.
    Sequence,
}

impl PlainText {
    /// Adds what `bytes` show.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (State::Text, 0x1b) => State::Escape,
                (State::Text, b'\r') => State::Text,
                (State::Text, _) => {
                    let is_ascii = byte.is_ascii();
                    self.text.push(if is_ascii {
                        byte.into()
                    } else {
                        char::REPLACEMENT_CHARACTER
                    });
                    State::Text
                }
                (State::Escape, b'[') => State::Sequence,
                (State::Sequence, _) if !byte.is_ascii_alphabetic() => State::Sequence,
                (State::Escape | State::Sequence, _) => State::Text,
            };
        }
    }

    /// The text.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Forgets the text.
    pub(super) fn clear(&mut self) {
        self.text.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_disappear() {
        let mut plain = PlainText::default();
        plain.push(b"\x1b[2K\x1b[1Ggnomon> a\r\nb\x1b[0m");
        assert_eq!(plain.as_str(), "gnomon> a\nb");
    }

    #[test]
    fn pieces_may_end_anywhere() {
        let bytes = b"a\x1b[12;3Hb\r\nc\xffd\x1b[K";
        for first in 0..bytes.len() {
            let mut plain = PlainText::default();
            plain.push(&bytes[..first]);
            plain.push(&bytes[first..]);
            assert_eq!(plain.as_str(), "ab\nc\u{fffd}d", "split at {first}");
        }
    }
}
