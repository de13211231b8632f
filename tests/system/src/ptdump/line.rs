//! One line of a dump, taken apart column by column.

use super::{Leaf, Range};

/// Where a line's range begins and ends.
pub(super) fn range_of(line: &str) -> Result<(u64, u64), &'static str> {
    Columns(line).range()
}

/// Reads one range line; also says whether its entries are valid or zero.
pub(super) fn parse_line(line: &str) -> Result<(Range, bool), &'static str> {
    let mut columns = Columns(line);
    let (start, end) = columns.range()?;
    columns.expect("   ")?;
    if end <= start {
        return Err("the range ends before it begins");
    }
    columns
        .expect(&size_text(end - start))
        .map_err(|_| "the size is not the range's")?;
    columns.expect(" ")?;
    let level = match columns.take(1)? {
        "0" => 0,
        "1" => 1,
        "2" => 2,
        "3" => 3,
        _ => return Err("there is no such level"),
    };
    let (is_valid, leaf) = if columns.0.is_empty() {
        (true, None)
    } else {
        let is_valid = !columns.flag("F")?;
        let leaf = columns.leaf()?;
        (is_valid, is_valid.then_some(leaf))
    };
    if columns.0.is_empty() {
        let range = Range {
            start,
            end,
            level,
            leaf,
        };
        Ok((range, is_valid))
    } else {
        Err("something follows the last column")
    }
}

/// A size as Linux prints it: the largest unit in which it is whole, right-aligned in nine columns.
pub(super) fn size_text(bytes: u64) -> String {
    let mut size = bytes >> 10;
    let mut units = ["K", "M", "G", "T", "P", "E"].into_iter();
    let mut unit = units.next();
    while size != 0 && size.is_multiple_of(1024) {
        match units.next() {
            Some(larger) => (size, unit) = (size >> 10, Some(larger)),
            None => break,
        }
    }
    format!("{size:>9}{}", unit.unwrap_or_default())
}

/// The rest of a line, taken apart from the left.
struct Columns<'a>(&'a str);

impl<'a> Columns<'a> {
    fn take(&mut self, count: usize) -> Result<&'a str, &'static str> {
        let (head, rest) = self.0.split_at_checked(count).ok_or("the line is too short")?;
        self.0 = rest;
        Ok(head)
    }

    fn expect(&mut self, text: &str) -> Result<(), &'static str> {
        self.0 = self.0.strip_prefix(text).ok_or("the columns are not Linux's")?;
        Ok(())
    }

    fn hex16(&mut self) -> Result<u64, &'static str> {
        let digits = self.take(16)?;
        let is_lower_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if !digits.bytes().all(is_lower_hex) {
            return Err("an address is not 16 lower-case hexadecimal digits");
        }
        u64::from_str_radix(digits, 16).map_err(|_| "an address is no number")
    }

    /// First address, and first behind.
    fn range(&mut self) -> Result<(u64, u64), &'static str> {
        self.expect("0x")?;
        let start = self.hex16()?;
        self.expect("-0x")?;
        Ok((start, self.hex16()?))
    }

    /// A field that reads `set` or, when it is not set, is blank.
    fn flag(&mut self, set: &str) -> Result<bool, &'static str> {
        self.expect(" ")?;
        let text = self.take(set.len())?;
        if text == set {
            Ok(true)
        } else if text.trim().is_empty() {
            Ok(false)
        } else {
            Err("an attribute is not one of Linux's")
        }
    }

    fn leaf(&mut self) -> Result<Leaf, &'static str> {
        let read = self.flag("R")?;
        let write = self.flag("W")?;
        self.expect(" ")?;
        let (execute_el1, execute_el0) = match self.take(6)? {
            "px ux " => (true, true),
            "PXNux " => (false, true),
            "PXNUXN" => (false, false),
            "px UXN" => (true, false),
            _ => return Err("there is no such execute permission"),
        };
        Ok(Leaf {
            read,
            write,
            execute_el1,
            execute_el0,
            accessed: self.flag("AF")?,
            is_block: self.flag("BLK")?,
        })
    }
}
