//! What a terminal sends to the debug console, and the output of commands through filters.

use std::fmt::Write;

use console_core::{
    Command, Editor, Event, Filter, FilterState, Filtered, PROMPT, line::LINE_BYTES, parse_number, parse_range,
};

use crate::Input;

const WORDS: [&str; 5] = ["ptdump", "ptdump host", "regs", "reset", "regs 1"];

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let output_bytes = usize::from(input.byte());
    let bytes = input.rest();
    let (output, typed) = bytes.split_at(output_bytes.min(bytes.len()));
    let output = String::from_utf8_lossy(output);
    let mut editor = Editor::new();
    let mut echo = String::new();
    let complete = |_: &str, word: &str, found: &mut dyn FnMut(&str)| {
        WORDS
            .iter()
            .filter(|known| known.len() >= word.len())
            .for_each(|known| found(known));
    };
    for byte in typed {
        let event = editor.input(*byte, &complete, &mut echo);
        assert!(editor.line().len() <= LINE_BYTES && editor.line().bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        match event {
            Event::Line => check_line(editor.line(), &output),
            Event::Cancel => assert_eq!(editor.line(), ""),
            Event::None => {}
        }
    }
    assert!(echo.is_ascii(), "only what a terminal understands is sent");
    echo.clear();
    editor.prompt(&mut echo);
    assert!(echo.starts_with(PROMPT));
    check_line(&String::from_utf8_lossy(typed), &output);
}

fn check_line(line: &str, output: &str) {
    for word in line.split_whitespace() {
        check_number(word);
        if let Ok(range) = parse_range(word) {
            assert!(range.start <= range.end);
        }
    }
    match Command::parse(line) {
        Ok(command) => check_filters(command.filters(), output),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Against what Rust itself makes of it.
fn check_number(word: &str) {
    let is_decimal = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    if is_decimal {
        assert_eq!(parse_number(word).ok(), word.parse().ok(), "{word}");
    } else if let Some(digits) = word.strip_prefix("0x")
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        assert_eq!(parse_number(word).ok(), u64::from_str_radix(digits, 16).ok(), "{word}");
    } else if let Err(error) = parse_number(word) {
        assert!(!error.to_string().is_empty());
    }
}

/// Output in pieces of any length, against the same filters on a list of lines. Lines here are shorter than those that are
/// cut.
fn check_filters(filters: &[Filter<'_>], output: &str) {
    let (mut sent, mut state) = (String::new(), FilterState::new());
    for piece in output.split_inclusive('a') {
        let mut filtered = Filtered::new(&mut sent, filters, &mut state);
        filtered.write_str(piece).expect("a string has room");
    }
    let count = |count: u64, out: &mut dyn Write| write!(out, "{count} lines");
    let filtered = Filtered::new(&mut sent, filters, &mut state);
    filtered.finish(count).expect("a string has room");
    assert_eq!(sent, naive(filters, output), "{filters:?} of {output:?}");
}

fn naive(filters: &[Filter<'_>], output: &str) -> String {
    if filters.is_empty() {
        return output.to_owned();
    }
    let mut lines: Vec<String> = output
        .split_inclusive('\n')
        .map(|line| line.trim_end_matches('\n').to_owned())
        .collect();
    for filter in filters {
        lines = match filter {
            Filter::Head(count) => lines
                .into_iter()
                .take(usize::try_from(*count).unwrap_or(usize::MAX))
                .collect(),
            Filter::Grep(text) => lines.into_iter().filter(|line| line.contains(text)).collect(),
            Filter::Count => vec![format!("{} lines", lines.len())],
        };
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}
