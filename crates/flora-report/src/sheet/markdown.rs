use std::fmt::Write;

use super::{Column, Sheet};

impl Sheet {
    /// The caption as a heading, the table and its notes; without rows and notes, nothing.
    pub(crate) fn markdown(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let mut text = format!("## {}\n", plain(&self.caption));
        if self.rows > 0 {
            text += "\n";
            text += &self.lines();
        }
        for note in &self.notes {
            text += &format!("\n{}\n", plain(note));
        }
        text
    }

    fn lines(&self) -> String {
        let heading = self.columns.iter().map(Column::heading);
        let ruler = (0..self.columns.len()).map(|index| match index < self.stubs {
            true => "---",
            false => "---:",
        });
        let mut text = line(heading);
        // Writing into a string cannot fail.
        let _ = writeln!(text, "|{}|", ruler.collect::<Vec<_>>().join("|"));
        for row in 0..self.rows {
            text += &line(self.row(row).map(str::to_owned));
        }
        text
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.map(|cell| plain(&cell).replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// On one line.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{super::tests::sheet, *};

    #[test]
    fn a_heading_and_a_line_a_row() {
        assert_eq!(
            sheet().markdown(),
            "\
## Some 5 %

|  | global: last | global: best | runs |
|---|---:|---:|---:|
| a_b \\| c | 60.0 ± 1.5 | – | 3 |
| [x] \\ & {y} z | 1 | 2.00× | 4 |
"
        );
        let mut empty = Sheet::new("empty", 0);
        assert_eq!(empty.markdown(), "");
        empty.note("nothing\nto see".to_owned());
        assert_eq!(empty.markdown(), "## empty\n\nnothing to see\n");
        let mut noted = sheet();
        noted.note("of two".to_owned());
        assert_eq!(noted.markdown(), sheet().markdown() + "\nof two\n");
    }
}
