//! A flattened device tree (Devicetree Specification, section 5), written front to back.

const MAGIC: u32 = 0xd00d_feed;
const HEADER_BYTES: usize = 40;
/// The memory reservations: none.
const RESERVED_BYTES: usize = 16;
const STRUCTURE_AT: usize = HEADER_BYTES + RESERVED_BYTES;
const TREE_BYTES: usize = 4096;
const STRINGS_BYTES: usize = 512;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const END: u32 = 9;

/// A tree under construction.
pub(crate) struct Tree {
    bytes: [u8; TREE_BYTES],
    used: usize,
    strings: [u8; STRINGS_BYTES],
    strings_used: usize,
}

impl Tree {
    /// One with nothing in it.
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; TREE_BYTES],
            used: STRUCTURE_AT,
            strings: [0; STRINGS_BYTES],
            strings_used: 0,
        }
    }

    fn word(&mut self, word: u32) {
        self.text(&word.to_be_bytes());
    }

    /// Bytes, and zeroes up to the next word.
    fn text(&mut self, bytes: &[u8]) {
        self.bytes[self.used..][..bytes.len()].copy_from_slice(bytes);
        self.used += bytes.len().next_multiple_of(4);
    }

    /// Begins a node.
    pub(crate) fn begin(&mut self, name: &str) {
        self.word(BEGIN_NODE);
        self.text(name.as_bytes());
        // The name ends with a zero byte.
        if name.len().is_multiple_of(4) {
            self.used += 4;
        }
    }

    /// Ends the node that was begun last.
    pub(crate) fn end(&mut self) {
        self.word(END_NODE);
    }

    /// A property of that node.
    pub(crate) fn property(&mut self, name: &str, value: &[u8]) {
        self.word(PROPERTY);
        self.word(value.len() as u32);
        self.word(self.strings_used as u32);
        self.text(value);
        self.strings[self.strings_used..][..name.len()].copy_from_slice(name.as_bytes());
        self.strings_used += name.len() + 1;
    }

    /// One that is numbers.
    pub(crate) fn cells<const N: usize>(&mut self, name: &str, cells: [u32; N]) {
        let mut bytes = [0; 128];
        for (place, cell) in bytes.chunks_exact_mut(4).zip(cells) {
            place.copy_from_slice(&cell.to_be_bytes());
        }
        self.property(name, &bytes[..N * 4]);
    }

    /// One that is text, which ends with a zero byte.
    pub(crate) fn string(&mut self, name: &str, text: &core::ffi::CStr) {
        self.property(name, text.to_bytes_with_nul());
    }

    /// The whole, after the root node has ended.
    pub(crate) fn finish(&mut self) -> &[u8] {
        self.word(END);
        let strings_at = self.used;
        let strings = self.strings;
        self.text(&strings[..self.strings_used]);
        let structure_bytes = strings_at - STRUCTURE_AT;
        let header = [
            MAGIC,
            self.used as u32,
            STRUCTURE_AT as u32,
            strings_at as u32,
            HEADER_BYTES as u32,
            17,
            16,
            0,
            self.strings_used as u32,
            structure_bytes as u32,
        ];
        for (place, word) in self.bytes.chunks_exact_mut(4).zip(header) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        &self.bytes[..self.used]
    }
}
