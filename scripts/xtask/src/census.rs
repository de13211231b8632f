//! `xtask unsafe`: every `unsafe` in what runs at EL2, counted and listed.
//!
//! Sources are taken apart by the compiler's own rules for tokens, so that text and comments do not count and what stands in
//! macros does. Where a macro is used does not count: what it expands to stands once, where it is defined.

use std::fmt::{self, Write};
use std::fs;
use std::ops::AddAssign;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::progress::say;
use crate::project::Project;

/// What runs at EL2: the image, and assembly.
const PARTS: [&str; 5] = ["boot", "src", "console/src", "image/src", "crates"];
/// The page that has the numbers.
const PAGE: &str = "docs/unsafe.md";

const HEAD: &str = "\
# Unsafe code

Where what runs at EL2 goes beyond what the compiler checks. Each block says in `// SAFETY:` which fact makes it sound, which
a lint sees to; each `unsafe fn` says under `# Safety` what its callers owe. The crates and the console, in which everything
is decided, `forbid` it. Host tools and the payloads of tests are not counted.

`cargo xtask unsafe` writes this page and prints each place. *blocks* are `unsafe { }`, *functions* `unsafe fn`, *impls*
`unsafe impl`, *attributes* such as `#[unsafe(no_mangle)]` and `unsafe extern`, *asm* uses of `asm!` and its kin, *lines*
those of assembly that are neither empty nor a comment.

| file | blocks | functions | impls | attributes | asm | lines |
|---|---:|---:|---:|---:|---:|---:|
";

/// What a file has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    blocks: u32,
    functions: u32,
    impls: u32,
    attributes: u32,
    asm: u32,
    lines: u32,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.functions += other.functions;
        self.impls += other.impls;
        self.attributes += other.attributes;
        self.asm += other.asm;
        self.lines += other.lines;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} unsafe blocks, {} functions, {} impls, {} attributes, {} asm!, {} lines of assembly",
            self.blocks, self.functions, self.impls, self.attributes, self.asm, self.lines
        )
    }
}

/// A place of the list.
struct Place {
    line: usize,
    what: &'static str,
}

struct Counted {
    /// Within the project.
    path: String,
    count: Count,
    places: Vec<Place>,
}

/// Prints each place and writes the page.
///
/// # Errors
///
/// When a source cannot be read or the page not be written.
pub fn write(project: &Project) -> Result<()> {
    let files = survey(project)?;
    for file in &files {
        for place in &file.places {
            println!("{}:{}: {}", file.path, place.line, place.what);
        }
    }
    let path = project.root().join(PAGE);
    fs::write(&path, page(&files)).with_context(|| format!("cannot write {}", path.display()))?;
    say(&format!("{}: {}", path.display(), total(&files)));
    Ok(())
}

/// The totals in words, and whether the page has them.
///
/// # Errors
///
/// When a source or the page cannot be read.
pub fn check(project: &Project) -> Result<(String, bool)> {
    let files = survey(project)?;
    let path = project.root().join(PAGE);
    let written = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok((total(&files).to_string(), written == page(&files)))
}

fn survey(project: &Project) -> Result<Vec<Counted>> {
    let mut paths = Vec::new();
    for part in PARTS {
        find(&project.root().join(part), &mut paths)?;
    }
    let counted = paths.iter().map(|path| count(project, path));
    let files: Result<Vec<Counted>> = counted.collect();
    Ok(files?
        .into_iter()
        .filter(|file| file.count != Count::default())
        .collect())
}

/// All sources below `dir`, in order. Tests of crates are none.
fn find(dir: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    for path in paths {
        let is_source = path
            .extension()
            .is_some_and(|extension| extension == "rs" || extension == "S");
        if path.is_dir() && !path.ends_with("tests") {
            find(&path, into)?;
        } else if is_source {
            into.push(path);
        }
    }
    Ok(())
}

fn count(project: &Project, path: &Path) -> Result<Counted> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut counted = Counted {
        path: path.strip_prefix(project.root()).unwrap_or(path).display().to_string(),
        count: Count::default(),
        places: Vec::new(),
    };
    if path.extension().is_some_and(|extension| extension == "S") {
        counted.count.lines = lines_of_assembly(&text);
    } else {
        let tokens: TokenStream = text
            .parse()
            .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        count_tokens(tokens, &mut counted);
    }
    Ok(counted)
}

/// Lines that are neither empty nor a comment.
fn lines_of_assembly(text: &str) -> u32 {
    let mut is_in_comment = false;
    let is_code = |line: &&str| {
        let line = line.trim();
        let was_in_comment = is_in_comment;
        is_in_comment = (is_in_comment || line.starts_with("/*")) && !line.ends_with("*/");
        !(line.is_empty() || line.starts_with("//") || line.starts_with("/*") || was_in_comment)
    };
    text.lines().filter(is_code).count() as u32
}

fn count_tokens(tokens: TokenStream, counted: &mut Counted) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        let rest = &tokens[index + 1..];
        match token {
            TokenTree::Ident(word) => {
                let count = &mut counted.count;
                let found = match word.to_string().as_str() {
                    "unsafe" => kind_of(rest).map(|what| match what {
                        "block" => (&mut count.blocks, what),
                        "function" => (&mut count.functions, what),
                        "impl" => (&mut count.impls, what),
                        _ => (&mut count.attributes, what),
                    }),
                    "asm" | "naked_asm" | "global_asm" if is_call(rest) => Some((&mut count.asm, "asm")),
                    _ => None,
                };
                if let Some((number, what)) = found {
                    *number += 1;
                    let line = word.span().start().line;
                    counted.places.push(Place { line, what });
                }
            }
            TokenTree::Group(group) => count_tokens(group.stream(), counted),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// What an `unsafe` before `rest` is; `None` in the type of a pointer to a function.
fn kind_of(rest: &[TokenTree]) -> Option<&'static str> {
    match rest.first()? {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some("block"),
        TokenTree::Group(_) => Some("attribute"),
        TokenTree::Ident(word) if word == "impl" || word == "trait" => Some("impl"),
        TokenTree::Ident(word) if word == "fn" => matches!(rest.get(1)?, TokenTree::Ident(_)).then_some("function"),
        TokenTree::Ident(word) if word == "extern" => {
            // Perhaps with the name of an ABI.
            let mut behind = rest[1..]
                .iter()
                .skip_while(|token| matches!(token, TokenTree::Literal(_)));
            match (behind.next()?, behind.next()) {
                (TokenTree::Group(_), _) => Some("extern block"),
                (TokenTree::Ident(_), Some(TokenTree::Ident(_))) => Some("function"),
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_call(rest: &[TokenTree]) -> bool {
    matches!(rest.first(), Some(TokenTree::Punct(mark)) if mark.as_char() == '!')
}

fn total(files: &[Counted]) -> Count {
    let mut total = Count::default();
    files.iter().for_each(|file| total += file.count);
    total
}

fn page(files: &[Counted]) -> String {
    let mut page = HEAD.to_owned();
    let mut row = |name: &str, count: &Count| {
        let cell = |number: u32| if number == 0 { String::new() } else { number.to_string() };
        let numbers = [
            count.blocks,
            count.functions,
            count.impls,
            count.attributes,
            count.asm,
            count.lines,
        ];
        let _ = writeln!(page, "| {name} | {} |", numbers.map(cell).join(" | "));
    };
    for file in files {
        row(&format!("`{}`", file.path), &file.count);
    }
    row("all", &total(files));
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(text: &str) -> Counted {
        let mut counted = Counted {
            path: String::new(),
            count: Count::default(),
            places: Vec::new(),
        };
        count_tokens(text.parse().unwrap(), &mut counted);
        counted
    }

    #[test]
    fn each_kind_is_told_from_the_others() {
        let text = r#"
            #[unsafe(no_mangle)] unsafe extern "C" { fn f(); }
            unsafe impl Sync for X {}
            pub const unsafe fn g() { unsafe { f() } }
            unsafe extern "C" fn h(p: unsafe fn(), q: unsafe extern "C" fn()) {}
            macro_rules! m { () => { unsafe { core::arch::asm!("unsafe { }") } } }
            // unsafe { }
            fn asm() {}
        "#;
        let counted = counted(text);
        let expected = Count {
            blocks: 2,
            functions: 2,
            impls: 1,
            attributes: 2,
            asm: 1,
            lines: 0,
        };
        assert_eq!(counted.count, expected);
        let lines: Vec<_> = counted.places.iter().map(|place| place.line).collect();
        assert_eq!(lines, [2, 2, 3, 4, 4, 5, 6, 6]);
    }

    #[test]
    fn assembly_is_counted_without_comments() {
        let text = "/* one\n * two\n */\n// three\n\nstart:\n    mov x0, x1 // four\n/* five */\n    ret\n";
        assert_eq!(lines_of_assembly(text), 3);
    }

    #[test]
    fn what_decides_has_no_unsafe_code() {
        let files = survey(&Project::new()).unwrap();
        let is_safe = |file: &&Counted| file.path.starts_with("crates/") || file.path.starts_with("console/");
        let unsafe_ones: Vec<&str> = files.iter().filter(is_safe).map(|file| file.path.as_str()).collect();
        assert!(unsafe_ones.is_empty(), "{unsafe_ones:?}");
    }

    #[test]
    fn the_page_is_that_of_the_code() {
        let (total, is_current) = check(&Project::new()).unwrap();
        assert!(is_current, "{PAGE} is out of date ({total}): cargo xtask unsafe");
    }
}
