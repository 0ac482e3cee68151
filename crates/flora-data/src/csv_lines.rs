//! Line numbers of CSV records.

use std::io::Read;

use csv::{Reader, StringRecord};

/// Counts lines for [`Reader`], whose own count ends a line before `\r\n`, and starts a record at the empty lines
/// before it.
pub(crate) struct CsvLines {
    /// 1 if the reader has counted the end of a record's last line when it returns the record; 0 if it counts it later.
    counted: u64,
}

impl CsvLines {
    /// For a reader that has read only its header.
    pub(crate) fn after_header<R: Read>(reader: &Reader<R>, header: &StringRecord) -> Self {
        Self { counted: reader.position().line().saturating_sub(1 + breaks(header)).min(1) }
    }

    /// The first line, from 1, of the record that was read last.
    pub(crate) fn of<R: Read>(&self, reader: &Reader<R>, record: &StringRecord) -> usize {
        let before = record.position().map_or(0, csv::Position::line);
        let after = reader.position().line().saturating_sub(breaks(record) + self.counted);
        // At the end of a file without a last line break, only the former is correct.
        before.max(after) as usize
    }
}

/// Line breaks within the fields.
fn breaks(record: &StringRecord) -> u64 {
    record.iter().map(|field| field.matches('\n').count() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_begin_where_an_editor_shows_them() {
        for end in ["\n", "\r\n"] {
            for last in ["", end] {
                let text =
                    format!("a,b{end}1,x{end}2,\"two{end}lines\"{end}{end}3,y{end}4,z{last}");
                let mut reader = Reader::from_reader(text.as_bytes());
                let header = reader.headers().unwrap().clone();
                let lines = CsvLines::after_header(&reader, &header);
                let (mut record, mut found) = (StringRecord::new(), Vec::new());
                while reader.read_record(&mut record).unwrap() {
                    found.push((record[0].to_owned(), lines.of(&reader, &record)));
                }
                let expected = [("1", 2), ("2", 3), ("3", 6), ("4", 7)];
                assert_eq!(found, expected.map(|(name, line)| (name.to_owned(), line)), "{text:?}");
            }
        }
    }
}
