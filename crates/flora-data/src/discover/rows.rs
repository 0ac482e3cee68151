//! Rows of tables: with a header, or one JSON object per line.

use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};
use flora_core::files::without_mark;
use serde_json::{Map, Value};

use crate::csv_lines::CsvLines;
use crate::dataset::json_lines::text_of;

/// Number of rows used to detect the roles of columns.
const HEAD: usize = 256;

/// The format of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableKind {
    Csv { separator: char },
    JsonLines,
}

/// The beginning of a table.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) kind: TableKind,
    pub(super) columns: Vec<String>,
    /// The first rows; missing values are empty.
    pub(super) rows: Vec<Vec<String>>,
}

impl Head {
    /// Reads the beginning of a table; the error is the problem.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let kind = match file.extension().and_then(|extension| extension.to_str()) {
            Some(extension) if extension.to_ascii_lowercase().ends_with("sv") => {
                TableKind::Csv { separator: separator(file)? }
            }
            _ => TableKind::JsonLines,
        };
        let columns = match kind {
            TableKind::Csv { separator } => {
                let mut reader = reader(file, separator)?;
                let header = reader.headers().map_err(|error| error.to_string())?;
                header.iter().map(str::to_owned).collect()
            }
            TableKind::JsonLines => fields(file)?,
        };
        let mut head = Self { kind, columns, rows: Vec::new() };
        let all: Vec<usize> = (0..head.columns.len()).collect();
        let mut rows = Vec::new();
        head.each(file, &all, |_, row| {
            rows.push(row.to_vec());
            if rows.len() < HEAD { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        head.rows = rows;
        Ok(head)
    }

    /// Visits the columns `wanted` of all rows with their line numbers; missing values are empty.
    pub(super) fn each(
        &self,
        file: &Path,
        wanted: &[usize],
        mut visit: impl FnMut(usize, &[String]) -> ControlFlow<()>,
    ) -> Result<(), String> {
        let mut row = vec![String::new(); wanted.len()];
        match self.kind {
            TableKind::Csv { separator } => {
                let mut reader = reader(file, separator)?;
                let header = reader.headers().map_err(|error| error.to_string())?.clone();
                let lines = CsvLines::after_header(&reader, &header);
                let mut record = StringRecord::new();
                while reader.read_record(&mut record).map_err(|error| error.to_string())? {
                    for (value, &column) in row.iter_mut().zip(wanted) {
                        value.clear();
                        value.push_str(record.get(column).unwrap_or_default());
                    }
                    if visit(lines.of(&reader, &record), &row).is_break() {
                        break;
                    }
                }
                Ok(())
            }
            TableKind::JsonLines => objects(file, |line, object| {
                for (value, &column) in row.iter_mut().zip(wanted) {
                    value.clear();
                    value.push_str(&text_of(object, &self.columns[column]).unwrap_or_default());
                }
                visit(line, &row)
            }),
        }
    }
}

fn reader(file: &Path, separator: char) -> Result<csv::Reader<std::fs::File>, String> {
    ReaderBuilder::new()
        .delimiter(separator as u8)
        .trim(Trim::Headers)
        .from_path(file)
        .map_err(|error| error.to_string())
}

/// The most frequent candidate separator in the header.
fn separator(file: &Path) -> Result<char, String> {
    let mut header = String::new();
    let file = std::fs::File::open(file).map_err(|error| error.to_string())?;
    BufReader::new(file).read_line(&mut header).map_err(|error| error.to_string())?;
    let mut quoted = false;
    let outside = header.chars().filter(|&c| {
        quoted ^= c == '"';
        !quoted
    });
    let outside: String = outside.collect();
    let count = |separator: char| outside.matches(separator).count();
    // The last of equally frequent ones.
    let separators = ['|', ';', '\t', ','];
    Ok(separators.into_iter().max_by_key(|&separator| count(separator)).unwrap_or(','))
}

/// The fields of the first objects.
fn fields(file: &Path) -> Result<Vec<String>, String> {
    let mut fields: Vec<String> = Vec::new();
    let mut left = HEAD;
    objects(file, |_, object| {
        for name in object.keys() {
            if !fields.contains(name) {
                fields.push(name.clone());
            }
        }
        left -= 1;
        if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(fields)
}

/// Visits the objects of a file of JSON lines.
fn objects(
    file: &Path,
    mut visit: impl FnMut(usize, &Map<String, Value>) -> ControlFlow<()>,
) -> Result<(), String> {
    let reader = std::fs::File::open(file).map_err(|error| error.to_string())?;
    for (number, line) in (1..).zip(BufReader::new(reader).lines()) {
        let line = line.map_err(|error| error.to_string())?;
        let line = if number == 1 { without_mark(&line) } else { &line }.trim();
        if line.is_empty() {
            continue;
        }
        let object =
            serde_json::from_str(line).map_err(|error| format!("line {number}: {error}"))?;
        if visit(number, &object).is_break() {
            break;
        }
    }
    Ok(())
}
