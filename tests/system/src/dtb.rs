//! Damaging a flattened device tree where QEMU does not look.
//!
//! A test of gnomon's boot with a broken tree must get that tree past QEMU, which reads parts of
//! it itself (and refuses a truncated file). A property whose name lies outside the strings block
//! does that: readers that look up other nodes never see it, and one that walks everything must
//! not follow it. Format: Devicetree Specification v0.4, chapter 5.

use std::fmt;

const MAGIC: u32 = 0xd00d_feed;
/// Bytes of the header that hold the size of all, and offset and size of both blocks.
const TOTAL_BYTES: usize = 4;
const STRUCT_OFFSET: usize = 8;
const STRINGS_OFFSET: usize = 12;
const STRINGS_BYTES: usize = 32;
const STRUCT_BYTES: usize = 36;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;

/// Why a tree could not be damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtbError {
    /// It is no flattened device tree, or ends too early.
    NotATree,
    /// No node of that name has a property.
    NoSuchNode,
}

impl fmt::Display for DtbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotATree => "not a flattened device tree",
            Self::NoSuchNode => "no such node, or one without properties",
        })
    }
}

impl std::error::Error for DtbError {}

/// Cuts off the room behind the last block. QEMU dumps its tree with a MiB of it, and makes twice
/// as much again of what it reads.
///
/// # Errors
///
/// [`DtbError::NotATree`], with the tree as it was.
pub fn pack(tree: &mut Vec<u8>) -> Result<(), DtbError> {
    if word(tree, 0)? != MAGIC {
        return Err(DtbError::NotATree);
    }
    let struct_end = word(tree, STRUCT_OFFSET)?.saturating_add(word(tree, STRUCT_BYTES)?);
    let strings_end = word(tree, STRINGS_OFFSET)?.saturating_add(word(tree, STRINGS_BYTES)?);
    let total_bytes = struct_end.max(strings_end);
    if total_bytes as usize > tree.len() {
        return Err(DtbError::NotATree);
    }
    tree.truncate(total_bytes as usize);
    let field = tree.get_mut(TOTAL_BYTES..TOTAL_BYTES + 4).ok_or(DtbError::NotATree)?;
    field.copy_from_slice(&total_bytes.to_be_bytes());
    Ok(())
}

/// Gives the first property of the first node whose name begins with `node` a name that lies far
/// outside the strings block.
///
/// # Errors
///
/// [`DtbError`], with the tree as it was.
pub fn misname_property(tree: &mut [u8], node: &str) -> Result<(), DtbError> {
    if word(tree, 0)? != MAGIC {
        return Err(DtbError::NotATree);
    }
    let mut at = offset(tree, STRUCT_OFFSET)?;
    let mut is_inside = false;
    loop {
        let token = word(tree, at)?;
        at += 4;
        match token {
            BEGIN_NODE => {
                let name = name_at(tree, at)?;
                is_inside = name.starts_with(node.as_bytes());
                at = (at + name.len() + 1).next_multiple_of(4);
            }
            PROP if is_inside => {
                let name_offset = tree.get_mut(at + 4..at + 8).ok_or(DtbError::NotATree)?;
                name_offset.copy_from_slice(&0x7fff_ff00_u32.to_be_bytes());
                return Ok(());
            }
            PROP => at = (at + 8 + offset(tree, at)?).next_multiple_of(4),
            END_NODE => is_inside = false,
            NOP => {}
            _ => return Err(DtbError::NoSuchNode),
        }
    }
}

fn word(tree: &[u8], at: usize) -> Result<u32, DtbError> {
    let bytes = tree.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map(|bytes| u32::from_be_bytes(*bytes)).ok_or(DtbError::NotATree)
}

fn offset(tree: &[u8], at: usize) -> Result<usize, DtbError> {
    word(tree, at).map(|word| word as usize)
}

fn name_at(tree: &[u8], at: usize) -> Result<&[u8], DtbError> {
    let rest = tree.get(at..).ok_or(DtbError::NotATree)?;
    rest.split(|byte| *byte == 0).next().ok_or(DtbError::NotATree)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root with a property, and a child with another one; every property is 5 bytes long.
    fn tree() -> Vec<u8> {
        let mut tree = vec![0; 40];
        tree[..4].copy_from_slice(&MAGIC.to_be_bytes());
        tree[8..12].copy_from_slice(&40_u32.to_be_bytes());
        let mut push = |words: &[u32], bytes: &[u8]| {
            tree.extend(words.iter().flat_map(|word| word.to_be_bytes()));
            tree.extend(bytes);
            tree.resize(tree.len().next_multiple_of(4), 0);
        };
        push(&[BEGIN_NODE], b"\0");
        push(&[PROP, 5, 0], b"virt\0");
        push(&[NOP, BEGIN_NODE], b"pl061@9030000\0");
        push(&[PROP, 5, 8], b"gpio\0");
        push(&[END_NODE, END_NODE, 9], b"");
        tree
    }

    #[test]
    fn only_the_name_of_one_property_changes() {
        let (before, mut after) = (tree(), tree());
        misname_property(&mut after, "pl061@").unwrap();
        let changed: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
        let name_offset = before.windows(4).position(|word| word == 8_u32.to_be_bytes()).unwrap();
        assert!(changed.into_iter().eq(name_offset..name_offset + 4));
    }

    #[test]
    fn packing_cuts_behind_the_last_block() {
        let mut whole = tree();
        let bytes = u32::try_from(whole.len() - 40).unwrap();
        whole[STRUCT_BYTES..STRUCT_BYTES + 4].copy_from_slice(&bytes.to_be_bytes());
        let mut roomy = whole.clone();
        roomy.resize(whole.len() + 1000, 0);
        pack(&mut roomy).unwrap();
        assert_eq!(word(&roomy, TOTAL_BYTES).map(|bytes| bytes as usize), Ok(whole.len()));
        assert_eq!((&roomy[..4], &roomy[8..]), (&whole[..4], &whole[8..]));
        whole.truncate(60);
        assert_eq!(
            pack(&mut whole),
            Err(DtbError::NotATree),
            "the structure block is cut off"
        );
    }

    #[test]
    fn what_cannot_be_damaged_is_left_alone() {
        let mut whole = tree();
        assert_eq!(misname_property(&mut whole, "nothing@"), Err(DtbError::NoSuchNode));
        assert_eq!(whole, tree());
        for end in 0..60 {
            assert_eq!(misname_property(&mut tree()[..end], "pl061@"), Err(DtbError::NotATree));
        }
    }
}
