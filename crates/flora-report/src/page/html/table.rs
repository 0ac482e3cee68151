//! Tables: a caption, headings with their scope, and a region of their own in which wide ones scroll.

use flora_core::text::printable;
use maud::{Markup, html};

/// A table of text. The first column names the rows.
#[derive(Debug, Default)]
pub(in crate::page) struct Table {
    pub(in crate::page) caption: String,
    /// Headings; the first is that of the names.
    pub(in crate::page) head: Vec<String>,
    pub(in crate::page) rows: Vec<Vec<String>>,
    /// Whether the cells behind the first are text and not numbers.
    pub(in crate::page) is_text: bool,
    /// Sentences below it.
    pub(in crate::page) notes: Vec<String>,
}

impl Table {
    pub(in crate::page) fn new<S: Into<String>>(
        caption: impl Into<String>,
        head: impl IntoIterator<Item = S>,
    ) -> Self {
        let head = head.into_iter().map(Into::into).collect();
        Self { caption: caption.into(), head, ..Self::default() }
    }

    /// The same with cells of text.
    pub(in crate::page) fn text(mut self) -> Self {
        self.is_text = true;
        self
    }

    pub(in crate::page) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The table in a region that a keyboard can scroll.
    pub(in crate::page) fn html(&self) -> Markup {
        let caption = printable(&self.caption);
        html! {
            div class="scroll" role="region" tabindex="0" aria-label=(caption) {
                table class=[self.is_text.then_some("text")] {
                    caption { (caption) }
                    thead { tr { @for title in &self.head { (heading(title)) } } }
                    tbody {
                        @for row in &self.rows {
                            tr {
                                @for (at, cell) in row.iter().enumerate() {
                                    @if at == 0 { th scope="row" { (printable(cell)) } }
                                    @else { td { (printable(cell)) } }
                                }
                            }
                        }
                    }
                }
            }
            @for note in &self.notes { p class="note" { (printable(note)) } }
        }
    }
}

/// An empty corner is a cell, because a heading must say something.
fn heading(title: &str) -> Markup {
    html! {
        @if title.is_empty() { td {} } @else { th scope="col" { (printable(title)) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_rows_have_headings() {
        let mut table = Table::new("a <b>", ["", "x\n\"y\""]);
        table.row(["<script>alert(1)</script>", "]]>"]);
        let html = table.html().into_string();
        assert!(html.contains("<caption>a &lt;b&gt;</caption>"), "{html}");
        assert!(html.contains(r#"aria-label="a &lt;b&gt;""#), "{html}");
        assert!(html.contains(r#"<td></td><th scope="col">x\n&quot;y&quot;</th>"#), "{html}");
        let name = "<th scope=\"row\">&lt;script&gt;alert(1)&lt;/script&gt;</th><td>]]&gt;</td>";
        assert!(html.contains(name), "{html}");
    }
}
