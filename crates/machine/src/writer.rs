//! Writing a flattened device tree, front to back.
//!
//! The format keeps nodes and properties in the order of a walk (Devicetree Specification v0.4, chapter 5 "Flattened
//! Devicetree (DTB) Format"). So a tree that is much like another is made while the other is walked; a model of it in
//! memory would take more code than all else that is read of a tree.

use alloc::vec::Vec;

use dtoolkit::{
    Node, Property,
    fdt::{Fdt, FdtNode},
};

const MAGIC: u32 = 0xd00d_feed;
const VERSION: u32 = 17;
const LAST_COMPATIBLE_VERSION: u32 = 16;
const HEADER_WORDS: usize = 10;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const END: u32 = 9;

/// A tree that is being written. Each [`begin`](Self::begin) wants its [`end`](Self::end), and the properties of a node
/// come before its children.
#[derive(Default)]
pub(crate) struct Writer {
    reservations: Vec<u8>,
    structure: Vec<u8>,
    strings: Vec<u8>,
}

impl Writer {
    /// An empty tree with the memory reservations of `tree`.
    pub(crate) fn with_reservations_of(tree: &Fdt<'_>) -> Self {
        let words = tree
            .memory_reservations()
            .flat_map(|reserved| [reserved.address(), reserved.size()]);
        Self {
            reservations: words.flat_map(u64::to_be_bytes).collect(),
            ..Self::default()
        }
    }

    /// Opens the node `name`, with its unit address.
    pub(crate) fn begin(&mut self, name: &str) {
        self.word(BEGIN_NODE);
        self.bytes(&[name.as_bytes(), &[0]].concat());
    }

    /// Closes the node opened last.
    pub(crate) fn end(&mut self) {
        self.word(END_NODE);
    }

    /// A property of the node opened last.
    pub(crate) fn property(&mut self, name: &str, value: &[u8]) {
        self.word(PROP);
        self.word(word_of(value.len()));
        let name_at = self.name_at(name);
        self.word(name_at);
        self.bytes(value);
    }

    /// `node` as it is, which is not deep.
    pub(crate) fn node(&mut self, node: &FdtNode<'_>) {
        self.begin(node.name());
        for property in node.properties() {
            self.property(property.name(), property.value());
        }
        for child in node.children() {
            self.node(&child);
        }
        self.end();
    }

    /// The blob.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.word(END);
        self.reservations.extend([0; 16]);
        let reservations_at = HEADER_WORDS * size_of::<u32>();
        let structure_at = reservations_at + self.reservations.len();
        let strings_at = structure_at + self.structure.len();
        let header: [u32; HEADER_WORDS] = [
            MAGIC,
            word_of(strings_at + self.strings.len()),
            word_of(structure_at),
            word_of(strings_at),
            word_of(reservations_at),
            VERSION,
            LAST_COMPATIBLE_VERSION,
            0,
            word_of(self.strings.len()),
            word_of(self.structure.len()),
        ];
        let header: Vec<u8> = header.into_iter().flat_map(u32::to_be_bytes).collect();
        [header, self.reservations, self.structure, self.strings].concat()
    }

    fn word(&mut self, word: u32) {
        self.structure.extend(word.to_be_bytes());
    }

    /// `bytes`, and zeros up to a word.
    fn bytes(&mut self, bytes: &[u8]) {
        self.structure.extend(bytes);
        self.structure
            .resize(self.structure.len().next_multiple_of(size_of::<u32>()), 0);
    }

    /// Where a property's name lies among the strings; each stands there once.
    fn name_at(&mut self, name: &str) -> u32 {
        let mut at = 0;
        for known in self.strings.split_inclusive(|byte| *byte == 0) {
            if known.split_last().is_some_and(|(_, known)| known == name.as_bytes()) {
                return word_of(at);
            }
            at += known.len();
        }
        self.strings.extend([name.as_bytes(), &[0]].concat());
        word_of(at)
    }
}

/// A length or an offset of a tree whose size [`Tree`](crate::Tree) has limited.
fn word_of(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a tree is far below 4 GiB")
}
