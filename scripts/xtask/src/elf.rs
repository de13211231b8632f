//! Reading ELF files: gnomon's own into a raw image, and what a program links.

use std::fmt;
use std::ops::Range;

use object::elf::{DT_NEEDED, FileHeader64, PF_W, PT_INTERP, PT_LOAD};
use object::read::archive::ArchiveFile;
use object::read::elf::{Dyn, ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, SymbolKind};

/// A file that cannot be used as an ELF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElfError {
    /// The file is no 64-bit ELF, or its tables lie outside of it.
    Malformed(String),
    /// The ELF has nothing to load.
    Empty,
    /// The raw image would have more bytes than any sensible firmware.
    TooSparse {
        /// Bytes from the lowest to the highest loaded address.
        span_bytes: u64,
    },
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "not a usable ELF: {why}"),
            Self::Empty => f.write_str("the ELF has no loadable segment"),
            Self::TooSparse { span_bytes } => write!(
                f,
                "the ELF's segments span {span_bytes:#x} bytes: an address in linker.ld is wrong"
            ),
        }
    }
}

impl std::error::Error for ElfError {}

impl From<object::Error> for ElfError {
    fn from(error: object::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// Whether an object in the archive has a section of that name.
///
/// # Errors
///
/// [`ElfError::Malformed`] when the file is no archive. Members that are no objects are passed over.
pub fn archive_has_section(file: &[u8], name: &str) -> Result<bool, ElfError> {
    for member in ArchiveFile::parse(file)?.members() {
        let data = member?.data(file)?;
        if object::File::parse(data).is_ok_and(|object| object.section_by_name(name).is_some()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Start and name of each function, in order.
pub type Functions = Vec<(u64, String)>;

/// The addresses of the text of an ELF, and its functions, labels of assembly among them.
///
/// # Errors
///
/// [`ElfError`], also for a file without text.
pub fn functions(file: &[u8]) -> Result<(Range<u64>, Functions), ElfError> {
    let elf = object::File::parse(file)?;
    let text = elf.section_by_name(".text");
    let text = text.ok_or_else(|| ElfError::Malformed("no .text".into()))?;
    let range = text.address()..text.address() + text.size();
    // Labels of assembly have no type.
    let is_code = |kind| matches!(kind, SymbolKind::Text | SymbolKind::Unknown | SymbolKind::Label);
    let mut functions: Functions = elf
        .symbols()
        .filter(|symbol| range.contains(&symbol.address()) && is_code(symbol.kind()))
        .filter_map(|symbol| Some((symbol.address(), symbol.name().ok()?)))
        .filter(|(_, name)| !name.is_empty() && !name.starts_with('$'))
        .map(|(address, name)| (address, addr2line::demangle_auto(name.into(), None).into_owned()))
        .collect();
    functions.sort();
    functions.dedup_by_key(|(address, _)| *address);
    Ok((range, functions))
}

/// Segments further apart than this are a mistake of the linker script, not an image.
const SPAN_LIMIT_BYTES: u64 = 64 << 20;

/// The bytes of an ELF as they lie in memory, from the lowest physical address on.
///
/// Gaps between segments are zeros. What only occupies memory (bss) is left out
/// at the end: the arm64 Image header tells the loader how much to keep free.
///
/// # Errors
///
/// [`ElfError`] when the file is not an ELF or not one that makes an image.
pub fn flatten(file: &[u8]) -> Result<Vec<u8>, ElfError> {
    let elf = ElfFile64::<Endianness>::parse(file)?;
    let endian = elf.endian();
    let mut segments: Vec<(u64, &[u8])> = Vec::new();
    for header in elf.elf_program_headers() {
        if header.p_type(endian) == PT_LOAD && header.p_filesz(endian) != 0 {
            let data = header
                .data(endian, file)
                .map_err(|()| ElfError::Malformed("a segment lies outside the file".into()))?;
            segments.push((header.p_paddr(endian), data));
        }
    }
    let start = segments
        .iter()
        .map(|(address, _)| *address)
        .min()
        .ok_or(ElfError::Empty)?;
    let end = segments
        .iter()
        .map(|(address, data)| address.saturating_add(data.len() as u64));
    let span_bytes = end.max().unwrap_or(start) - start;
    if span_bytes > SPAN_LIMIT_BYTES {
        return Err(ElfError::TooSparse { span_bytes });
    }
    let mut image = vec![0; to_usize(span_bytes)];
    for (address, data) in segments {
        let offset = to_usize(address - start);
        image[offset..offset + data.len()].copy_from_slice(data);
    }
    Ok(image)
}

/// What of an ELF is never written: address and bytes of each segment that says so.
///
/// # Errors
///
/// [`ElfError::Malformed`] when the file is not an ELF.
pub fn constant_segments(file: &[u8]) -> Result<Vec<(u64, Vec<u8>)>, ElfError> {
    let elf = ElfFile64::<Endianness>::parse(file)?;
    let endian = elf.endian();
    let mut segments = Vec::new();
    for header in elf.elf_program_headers() {
        if header.p_type(endian) == PT_LOAD && header.p_flags(endian).0 & PF_W.0 == 0 {
            let data = header
                .data(endian, file)
                .map_err(|()| ElfError::Malformed("a segment lies outside the file".into()))?;
            segments.push((header.p_paddr(endian), data.to_vec()));
        }
    }
    Ok(segments)
}

/// The value of a symbol, if the ELF has it.
///
/// # Errors
///
/// [`ElfError::Malformed`] when the file is not an ELF.
pub fn symbol(file: &[u8], name: &str) -> Result<Option<u64>, ElfError> {
    let elf = ElfFile64::<Endianness>::parse(file)?;
    Ok(elf.symbol_by_name(name).map(|symbol| symbol.address()))
}

/// A span below [`SPAN_LIMIT_BYTES`] as an index.
fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// What a program or library asks the dynamic linker for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Names of the libraries it links (`DT_NEEDED`).
    pub libraries: Vec<String>,
    /// Path of its dynamic linker (`PT_INTERP`), programs only.
    pub interpreter: Option<String>,
}

/// Reads what a dynamically linked file needs; a static one needs nothing.
///
/// # Errors
///
/// [`ElfError::Malformed`] when the file is no ELF or is cut off.
pub fn needs(file: &[u8]) -> Result<Needs, ElfError> {
    let header = FileHeader64::<Endianness>::parse(file)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, file)?;
    let mut needs = Needs::default();
    for segment in header.program_headers(endian, file)? {
        if segment.p_type(endian) == PT_INTERP {
            needs.interpreter = segment.interpreter(endian, file)?.map(text);
        }
    }
    if let Some((dynamic, link)) = sections.dynamic(endian, file)? {
        let strings = sections.strings(endian, file, link)?;
        for entry in dynamic {
            if entry.tag(endian) == DT_NEEDED {
                needs.libraries.push(text(entry.string(endian, strings)?));
            }
        }
    }
    Ok(needs)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF with nothing but loadable segments of the given address and data.
    fn elf_with(segments: &[(u64, &[u8])]) -> Vec<u8> {
        const HEADER: usize = 64;
        const PROGRAM_HEADER: usize = 56;
        let mut file = vec![0; HEADER + segments.len() * PROGRAM_HEADER];
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(16, &2_u16.to_le_bytes()); // e_type: executable
        put(18, &183_u16.to_le_bytes()); // e_machine: AArch64
        put(20, &1_u32.to_le_bytes()); // e_version
        put(32, &(HEADER as u64).to_le_bytes()); // e_phoff
        put(52, &64_u16.to_le_bytes());
        put(54, &56_u16.to_le_bytes());
        put(56, &u16::try_from(segments.len()).unwrap().to_le_bytes());
        let mut offset = HEADER + segments.len() * PROGRAM_HEADER;
        for (index, (address, data)) in segments.iter().enumerate() {
            let at = HEADER + index * PROGRAM_HEADER;
            put(at, &PT_LOAD.0.to_le_bytes());
            put(at + 8, &(offset as u64).to_le_bytes());
            put(at + 16, &0xffff_0000_0000_u64.to_le_bytes()); // p_vaddr must not matter
            put(at + 24, &address.to_le_bytes());
            put(at + 32, &(data.len() as u64).to_le_bytes());
            put(at + 40, &(data.len() as u64 + 0x1000).to_le_bytes());
            offset += data.len();
        }
        for (_, data) in segments {
            file.extend_from_slice(data);
        }
        file
    }

    #[test]
    fn what_is_no_archive_has_no_sections() {
        assert!(archive_has_section(b"nonsense", ".llvmbc").is_err());
        // An archive with a member that is no object.
        let mut archive = b"!<arch>\n".to_vec();
        archive.extend(format!("{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", "text/", 0, 0, 0, 644, 4).bytes());
        archive.extend(b"text");
        assert_eq!(archive_has_section(&archive, ".llvmbc"), Ok(false));
    }

    #[test]
    fn segments_are_placed_by_physical_address_with_zeros_between() {
        let file = elf_with(&[(0x4020_0008, b"rodata"), (0x4020_0000, b"text")]);
        assert_eq!(flatten(&file).unwrap(), b"text\0\0\0\0rodata");
    }

    #[test]
    fn segments_that_may_be_written_are_not_constant() {
        let mut file = elf_with(&[(0x4020_0000, b"text"), (0x4020_1000, b"data")]);
        // The flags of the first: readable, executable.
        file[64 + 4] = 5;
        file[64 + 56 + 4] = 6;
        assert_eq!(constant_segments(&file), Ok(vec![(0x4020_0000, b"text".to_vec())]));
        assert_eq!(symbol(&file, "__stacks_start"), Ok(None));
    }

    #[test]
    fn an_elf_without_segments_is_refused() {
        assert_eq!(flatten(&elf_with(&[])), Err(ElfError::Empty));
    }

    #[test]
    fn a_stray_segment_is_reported_not_written() {
        let file = elf_with(&[(0, b"stray"), (0x4020_0000, b"text")]);
        assert!(matches!(flatten(&file), Err(ElfError::TooSparse { .. })));
    }

    #[test]
    fn truncated_and_foreign_files_are_refused() {
        let file = elf_with(&[(0x4020_0000, b"text")]);
        assert!(matches!(flatten(&file[..file.len() - 1]), Err(ElfError::Malformed(_))));
        assert!(matches!(flatten(b"#!/bin/sh\n"), Err(ElfError::Malformed(_))));
        assert!(matches!(needs(&file[..32]), Err(ElfError::Malformed(_))));
    }

    #[test]
    fn a_dynamic_program_names_its_libraries_and_linker() {
        let this_test = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let needs = needs(&this_test).unwrap();
        assert!(
            needs.libraries.iter().any(|name| name.starts_with("libc.so")),
            "{needs:?}"
        );
        assert!(needs.interpreter.is_some());
    }
}
