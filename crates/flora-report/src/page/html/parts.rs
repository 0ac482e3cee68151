//! What all pages are put together from.

use flora_core::text::printable;
use maud::{Markup, PreEscaped, html};

use super::Table;

/// A number on a card.
pub(in crate::page) struct Card {
    pub(in crate::page) name: &'static str,
    pub(in crate::page) value: String,
    /// What the number is compared with, or made of.
    pub(in crate::page) detail: String,
}

/// Cards side by side, as a list of terms.
pub(in crate::page) fn cards(cards: &[Card]) -> Markup {
    html! {
        dl class="cards" {
            @for card in cards {
                div class="card" {
                    dt { (card.name) }
                    dd class="value" { (printable(&card.value)) }
                    @if !card.detail.is_empty() { dd class="detail" { (printable(&card.detail)) } }
                }
            }
        }
    }
}

/// How a note is meant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::page) enum Tone {
    Note,
    Warning,
    Error,
}

/// A sentence that stands out. Its tone is in its first word, too.
pub(in crate::page) fn callout(tone: Tone, text: &str) -> Markup {
    let (class, word) = match tone {
        Tone::Note => ("callout", "Note"),
        Tone::Warning => ("callout warning", "Warning"),
        Tone::Error => ("callout error", "Error"),
    };
    html! { p class=(class) { strong { (word) ": " } (printable(text)) } }
}

/// A chart with what it says in a sentence, and its numbers as a table.
#[derive(Debug)]
pub(in crate::page) struct Chart {
    /// Its place in the page.
    pub(in crate::page) id: &'static str,
    pub(in crate::page) title: String,
    /// What there is to see.
    pub(in crate::page) says: String,
    pub(in crate::page) svg: String,
    pub(in crate::page) table: Table,
    /// Whether it takes the whole width of the page.
    pub(in crate::page) wide: bool,
}

impl Chart {
    pub(in crate::page) fn html(&self) -> Markup {
        let class = if self.wide { "chart wide" } else { "chart" };
        html! {
            figure class=(class) id=(self.id) {
                figcaption {
                    h3 { (printable(&self.title)) }
                    @if !self.says.is_empty() { p { (printable(&self.says)) } }
                }
                // Drawn by this crate, which escapes the texts in it. Where a wide one has no room, it scrolls.
                @if self.wide {
                    div class="plot" role="region" tabindex="0" aria-label={ "Chart: " (printable(&self.title)) } {
                        (PreEscaped(&self.svg))
                    }
                } @else {
                    div class="plot" { (PreEscaped(&self.svg)) }
                }
                details class="data" id={ (self.id) "-data" } {
                    summary { "Numbers" span class="hidden" { " of: " (printable(&self.title)) } }
                    (self.table.html())
                }
            }
        }
    }
}

/// Charts side by side where there is room.
pub(in crate::page) fn charts(charts: &[Chart]) -> Markup {
    html! {
        div class=(if charts.len() == 1 { "charts single" } else { "charts" }) {
            @for chart in charts { (chart.html()) }
        }
    }
}

/// A part of the page, with its place in the contents.
pub(in crate::page) struct Section {
    pub(in crate::page) id: &'static str,
    pub(in crate::page) title: &'static str,
    pub(in crate::page) content: Markup,
}

impl Section {
    pub(in crate::page) fn html(&self) -> Markup {
        let heading = format!("{}-title", self.id);
        html! {
            section id=(self.id) aria-labelledby=(heading) {
                h2 id=(heading) { (self.title) }
                (self.content)
            }
        }
    }
}

/// A command that can be copied.
pub(in crate::page) fn command(text: &str) -> Markup {
    html! {
        pre class="command" tabindex="0" role="region" aria-label="Command" {
            code { (printable(text)) }
        }
    }
}
