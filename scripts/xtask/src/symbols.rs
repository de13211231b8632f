//! The names of gnomon's functions, put into its image after it was linked, for the report of a panic.
//!
//! The image has room for them between two symbols of `linker.ld`. `crates/symbols` says what a table looks like, and
//! reads it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection, ObjectSymbol};

use crate::elf::{self, Functions};

/// Where the table goes.
const START: &str = "__symbols_start";
const END: &str = "__symbols_end";

/// Tokens: as many as bytes that are no characters.
const TOKENS_MAX: usize = 128;

/// The crates whose functions have names of their own, even if there is not room for all: those that run for guests.
const CORE: [&str; 9] = [
    "hyp", "power", "shadow", "vmsa", "vgic", "vtimer", "syndrome", "trace", "gnomon",
];

/// Puts the table into the ELF at `path`, leaving the file alone when it is there.
///
/// # Errors
///
/// When the file cannot be read or written, is no gnomon, or has too little room.
pub fn embed(path: &Path) -> Result<()> {
    let mut file = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let room = room(&file).with_context(|| path.display().to_string())?;
    let (text, all) = elf::functions(&file)?;
    let table = Some(encode(text.start, &shortened(&all)))
        .filter(|table| table.len() <= room.len())
        .unwrap_or_else(|| encode(text.start, &shortened(&without_the_rest(&all))));
    ensure!(
        table.len() <= room.len(),
        "the names of gnomon's functions take {} bytes, and have {}: SYMBOLS_BYTES in linker.ld",
        table.len(),
        room.len()
    );
    let place = file
        .get_mut(room)
        .context("the room for names lies outside of the ELF")?;
    let mut padded = table;
    padded.resize(place.len(), 0);
    if *place == *padded {
        return Ok(());
    }
    place.copy_from_slice(&padded);
    fs::write(path, file).with_context(|| format!("cannot write {}", path.display()))
}

/// Which bytes of an ELF are the room for the table.
fn room(file: &[u8]) -> Result<std::ops::Range<usize>> {
    let elf = object::File::parse(file)?;
    let address = |name| {
        let symbol = elf.symbols().find(|symbol| symbol.name() == Ok(name));
        symbol
            .map(|symbol| symbol.address())
            .with_context(|| format!("no {name}"))
    };
    let (start, end) = (address(START)?, address(END)?);
    let holds =
        |section: &object::Section<'_, '_>| section.address() <= start && end <= section.address() + section.size();
    let section = elf.sections().find(holds).context("no section has room for names")?;
    let (offset, _) = section.file_range().context("the room for names is not in the file")?;
    let at = |address: u64| usize::try_from(offset + (address - section.address()));
    Ok(at(start)?..at(end)?)
}

/// Functions of other crates than [`CORE`] by the name of their crate alone.
fn without_the_rest(functions: &Functions) -> Functions {
    let name = |name: &str| {
        let of = crate_of(name);
        if of.is_empty() || CORE.contains(&of) {
            name.to_owned()
        } else {
            format!("{of}::..")
        }
    };
    functions.iter().map(|(at, full)| (*at, name(full))).collect()
}

/// The crate that a path begins with, or that a `<Type as Trait>` is of; empty for a name without a path.
fn crate_of(name: &str) -> &str {
    let path = name.trim_start_matches(['<', '&', '*']);
    let path = path.strip_prefix("impl ").unwrap_or(path);
    let first = path.split_once("::").map_or("", |(first, _)| first);
    // `&mut T`, `T as Trait`
    first.rsplit(' ').next().unwrap_or(first)
}

/// With [short](short) names, and one entry for neighbours of one name.
fn shortened(functions: &Functions) -> Functions {
    let mut short: Functions = functions.iter().map(|(at, name)| (*at, short(name))).collect();
    short.dedup_by(|later, earlier| later.1 == earlier.1);
    short
}

/// A name without the paths of types: `<vmsa::size::Size as core::fmt::Display>::fmt` is `<Size as Display>::fmt`.
fn short(name: &str) -> String {
    // What the compiler took out of several functions has no name that says anything.
    if name.starts_with("OUTLINED_FUNCTION") {
        return "(outlined)".into();
    }
    let name = name.replace("{{closure}}", "{}").replace("<impl ", "<");
    let is_path = |character: char| character.is_ascii_alphanumeric() || "_:".contains(character);
    let mut short = String::new();
    let mut rest = &name[..];
    while let Some(first) = rest.chars().next() {
        let path_end = rest.find(|character| !is_path(character)).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(path_end.max(first.len_utf8()));
        short.push_str(without_modules(piece));
        rest = after;
    }
    short.replace(|character: char| !character.is_ascii_graphic() && character != ' ', "?")
}

/// A path from its first type on, or all of it.
fn without_modules(path: &str) -> &str {
    let starts = path.match_indices("::").map(|(at, _)| at + 2);
    let mut starts = starts.filter(|start| path[*start..].starts_with(|first: char| first.is_ascii_uppercase()));
    starts.next().map_or(path, |start| &path[start..])
}

/// The table of functions of a text that begins at `text`.
fn encode(text: u64, functions: &Functions) -> Vec<u8> {
    let mut names: Vec<Vec<u8>> = functions.iter().map(|(_, name)| name.clone().into_bytes()).collect();
    let tokens = compress(&mut names);
    let mut table = vec![u8::try_from(tokens.len()).unwrap_or(0)];
    table.extend(tokens.as_flattened());
    table.extend(u16::try_from(functions.len()).unwrap_or(u16::MAX).to_le_bytes());
    let mut before = text;
    for ((start, _), name) in functions.iter().zip(&names) {
        push_distance((start - before) / 4, &mut table);
        table.extend(name);
        table.push(0);
        before = *start;
    }
    table
}

fn push_distance(mut distance: u64, table: &mut Vec<u8>) {
    while distance >= 0x80 {
        table.push(distance as u8 & 0x7f | 0x80);
        distance >>= 7;
    }
    table.push(distance as u8);
}

/// Replaces the pair of bytes that is there most often by a token, again and again.
fn compress(names: &mut [Vec<u8>]) -> Vec<[u8; 2]> {
    let mut tokens = Vec::new();
    for token in (0x80..=0xff_u8).take(TOKENS_MAX) {
        let mut counts: HashMap<[u8; 2], usize> = HashMap::new();
        for (first, second) in names.iter().flat_map(|name| name.iter().zip(name.iter().skip(1))) {
            *counts.entry([*first, *second]).or_default() += 1;
        }
        // The same pair whatever the order of the map: a build is to be the same again.
        let Some((pair, _)) = counts
            .into_iter()
            .filter(|(_, count)| *count > 3)
            .max_by_key(|(pair, count)| (*count, *pair))
        else {
            break;
        };
        for name in names.iter_mut() {
            *name = replaced(name, pair, token);
        }
        tokens.push(pair);
    }
    tokens
}

fn replaced(name: &[u8], pair: [u8; 2], token: u8) -> Vec<u8> {
    let mut result = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        match rest.strip_prefix(&pair) {
            Some(behind) => {
                result.push(token);
                rest = behind;
            }
            None => {
                result.push(*first);
                rest = after;
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use symbols::Table;

    use super::*;

    fn read(table: &[u8]) -> Functions {
        Table::new(table)
            .functions()
            .map(|function| (function.start, function.to_string()))
            .collect()
    }

    #[test]
    fn names_lose_the_paths_of_types_and_keep_those_of_functions() {
        for (full, expected) in [
            (
                "<vmsa::size::Size as core::fmt::Display>::fmt",
                "<Size as Display>::fmt",
            ),
            ("hyp::trap::sysreg::handle", "hyp::trap::sysreg::handle"),
            (
                "vgic::lists::<impl vgic::vgic::Vgic>::place",
                "vgic::lists::<Vgic>::place",
            ),
            ("shadow::pool::Pool::step::{{closure}}", "Pool::step::{}"),
            ("OUTLINED_FUNCTION_17", "(outlined)"),
            ("exception_vectors", "exception_vectors"),
        ] {
            assert_eq!(short(full), expected);
        }
    }

    #[test]
    fn where_room_is_short_the_console_is_one_name() {
        let functions = vec![
            (0, "hyp::trap::sync".to_owned()),
            (4, "console::dump::step".to_owned()),
            (8, "<&mut wire::Text as console::X>::y".to_owned()),
            (12, "resume_guest".to_owned()),
        ];
        let names: Vec<String> = without_the_rest(&functions).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["hyp::trap::sync", "console::..", "wire::..", "resume_guest"]);
        assert_eq!(crate_of("<&T as core::fmt::Display>::fmt"), "core");
    }

    #[test]
    fn neighbours_of_one_name_are_one() {
        let functions = vec![
            (0, "a".to_owned()),
            (4, "OUTLINED_FUNCTION_1".into()),
            (8, "OUTLINED_FUNCTION_2".into()),
        ];
        assert_eq!(
            shortened(&functions),
            [(0, "a".to_owned()), (4, "(outlined)".to_owned())]
        );
    }

    proptest! {
        #[test]
        fn a_table_says_what_it_was_made_of(
            names in prop::collection::vec(("[a-z:<>]{1,20}", 1..100_000_u64), 0..200),
            text in 0..1_u64 << 40,
        ) {
            let mut at = 0;
            let functions: Functions = names.into_iter().map(|(name, words)| {
                at += words * 4;
                (text * 4 + at, name)
            }).collect();
            let from_text: Functions = functions.iter().map(|(at, name)| (at - text * 4, name.clone())).collect();
            prop_assert_eq!(read(&encode(text * 4, &functions)), from_text);
        }
    }
}
