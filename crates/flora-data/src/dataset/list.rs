//! Text files that name an image and its class on each line.

use std::borrow::Cow;
use std::path::Path;

use flora_core::files;

use super::description::Description;
use super::layout::ListLayout;
use super::table::{self, Table};
use super::{Built, Split};
use crate::Error;

/// The part of a line that fills a slot.
#[derive(Debug)]
enum Column {
    /// The whole line.
    Line,
    /// The line up to its last `/`.
    Folder,
    /// The n-th column, from 1.
    One(usize),
    /// The n-th column and all that follow.
    From(usize),
    /// `train` or `test`.
    Split,
}

impl Column {
    fn parse(name: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
        let column = match name {
            "line" => Some(Self::Line),
            "folder" => Some(Self::Folder),
            "split" => Some(Self::Split),
            _ => match name.strip_suffix("..") {
                Some(name) => number(name).map(Self::From),
                None => number(name).map(Self::One),
            },
        };
        column.ok_or_else(|| {
            format!("{{{name}}} is not one of {{line}}, {{folder}}, {{split}}, {{1}}, {{2..}}")
        })
    }
}

/// One line, without white space around it.
struct Row<'a> {
    line: &'a str,
    separator: Option<&'a str>,
    split: Option<Split>,
}

impl<'a> Row<'a> {
    fn get(&self, column: &Column) -> Result<Cow<'a, str>, String> {
        let value = match *column {
            Column::Line => self.line,
            Column::Split => table::split_name(self.split)?,
            Column::Folder => match self.line.rsplit_once('/') {
                Some((folder, _)) => folder,
                None => return Err("there is no `/`".to_owned()),
            },
            Column::One(number) => self.from(number).map(|rest| self.cut(rest).0)?,
            Column::From(number) => self.from(number)?,
        };
        if value.is_empty() { Err("a column is empty".to_owned()) } else { Ok(value.into()) }
    }

    /// The line from its n-th column on.
    fn from(&self, number: usize) -> Result<&'a str, String> {
        let mut rest = self.line;
        for before in 1..number {
            rest = self
                .cut(rest)
                .1
                .ok_or_else(|| format!("there is no column {number}, only {before}"))?;
        }
        Ok(rest)
    }

    /// The first column of `text`, and the rest after its separator.
    fn cut(&self, text: &'a str) -> (&'a str, Option<&'a str>) {
        let cut = match self.separator {
            Some(separator) => text.split_once(separator),
            None => text.split_once(char::is_whitespace).map(|(a, b)| (a, b.trim_start())),
        };
        match cut {
            Some((column, rest)) => (column, Some(rest)),
            None => (text, None),
        }
    }
}

/// Reads the lists of a layout; every image must exist.
pub(super) fn build(
    description: &Description,
    layout: &ListLayout,
    root: &Path,
) -> Result<Built, Error> {
    let lists = table::lists(description, &layout.train, &layout.test, &layout.files)?;
    let image = table::parse(description, "image", &layout.image, Column::parse)?;
    let label = table::parse(description, "label", &layout.label, Column::parse)?;
    let separator = layout.separator.as_deref();
    if separator == Some("") {
        return Err(description.field(
            "layout.separator",
            "it is empty",
            "write the column separator, or leave it out for white space",
        ));
    }
    let mut table = Table::new(description, root, layout.first_label, "line")?;
    for (split, name) in lists {
        let file = table.next_list(name)?;
        let text = files::read_text(&file).map_err(Error::io("read", &file))?;
        for (number, line) in (1..).zip(text.lines()) {
            let row = Row { line: line.trim(), separator, split };
            if row.line.is_empty() {
                continue;
            }
            let wrong = |problem| {
                table.wrong(number, problem, "correct the line, or `layout` of the description")
            };
            let image = image.fill(|column| row.get(column)).map_err(wrong)?;
            let label = label.fill(|column| row.get(column)).map_err(wrong)?;
            table.add_image(number, &image)?;
            table.add(number, &label, split)?;
        }
    }
    table.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn get(line: &str, separator: Option<&str>, column: &str) -> Result<String, String> {
        let row = Row { line, separator, split: Some(Split::Test) };
        row.get(&Column::parse(column)?).map(Cow::into_owned)
    }

    #[test]
    fn columns_are_told_apart() {
        let pets = "Abyssinian_100 \t1 1  1";
        assert_eq!(get(pets, None, "1").unwrap(), "Abyssinian_100");
        assert_eq!(get(pets, None, "2").unwrap(), "1");
        assert_eq!(get(pets, None, "line").unwrap(), pets);
        assert_eq!(get("1025794 Boeing 717", None, "2..").unwrap(), "Boeing 717");
        assert_eq!(get("apple_pie/10056", Some("/"), "1").unwrap(), "apple_pie");
        assert_eq!(get("apple_pie/10056", Some("/"), "2").unwrap(), "10056");
        assert_eq!(get("/a/bar/indoor/x.jpg", None, "folder").unwrap(), "/a/bar/indoor");
        assert_eq!(get("x", None, "split").unwrap(), "test");
    }

    #[test]
    fn what_is_not_there_is_said() {
        assert!(get("one two", None, "3").unwrap_err().contains("only 2"));
        assert!(get("one", None, "2..").unwrap_err().contains("only 1"));
        assert!(get("one", None, "folder").unwrap_err().contains("`/`"));
        assert!(get("a,,b", Some(","), "2").unwrap_err().contains("empty"));
        for bad in ["0", "x", "..", "-1", "1.."] {
            let parsed = Column::parse(bad);
            assert_eq!(parsed.is_err(), bad != "1..", "{bad}: {parsed:?}");
        }
    }
}
