//! The building blocks of all pages.

use flora_core::text::printable;
use maud::{Markup, PreEscaped, html};

use super::Table;
use crate::{ReportError, figures::Figure};

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
    pub(in crate::page) picture: Picture,
    pub(in crate::page) table: Table,
}

/// How a chart is drawn.
#[derive(Debug)]
pub(in crate::page) enum Picture {
    /// Twice: for narrow pages, and for others.
    Both {
        /// 640 units wide.
        usual: Figure,
        /// 380 units wide.
        narrow: Figure,
    },
    /// Once, at its size.
    Single(Figure),
    /// Once, over the whole width of the page; where that has no room for it, it scrolls.
    Wide(Figure),
    /// Not at all, for this reason: the page has the numbers only.
    Missing(String),
}

impl Picture {
    /// Both drawings of a chart, of which the narrow one is asked for with `true`.
    pub(in crate::page) fn both(draw: impl Fn(bool) -> Result<Figure, ReportError>) -> Self {
        let drawn = draw(false).and_then(|usual| Ok(Self::Both { usual, narrow: draw(true)? }));
        drawn.unwrap_or_else(|error| Self::Missing(error.to_string()))
    }
}

/// Where a chart has its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Numbers {
    /// Below it, to be opened.
    Below,
    /// Beside it, where there is room.
    Beside,
}

impl Chart {
    pub(in crate::page) fn html(&self) -> Markup {
        self.with(Numbers::Below)
    }

    fn is_wide(&self) -> bool {
        matches!(self.picture, Picture::Wide(_) | Picture::Missing(_))
    }

    fn is_missing(&self) -> bool {
        matches!(self.picture, Picture::Missing(_))
    }

    fn with(&self, numbers: Numbers) -> Markup {
        let class = match numbers {
            _ if self.is_wide() => "chart wide",
            Numbers::Below => "chart",
            Numbers::Beside => "chart aside",
        };
        html! {
            figure class=(class) id=(self.id) {
                figcaption {
                    h3 { (printable(&self.title)) }
                    @if !self.says.is_empty() { p { (printable(&self.says)) } }
                }
                (self.plot())
                // Shown in place of what can be opened, where there is room.
                @if numbers == Numbers::Beside && !self.is_wide() {
                    div class="numbers" { (self.table.html()) }
                }
                details class="data" id={ (self.id) "-data" } open[self.is_missing()] {
                    summary { "Numbers" span class="hidden" { " of: " (printable(&self.title)) } }
                    (self.table.html())
                }
            }
        }
    }

    fn plot(&self) -> Markup {
        let svg = |figure: &Figure, suffix: &str| {
            let svg = figure.inline(&format!("{}-{suffix}", self.id));
            // At its size, or smaller where there is no room for that.
            let sized = format!("<svg width=\"{}\"", figure.size().0.ceil());
            // Drawn by this crate, which escapes the texts in it.
            PreEscaped(svg.replacen("<svg", &sized, 1))
        };
        html! {
            @match &self.picture {
                Picture::Both { usual, narrow } => {
                    div class="plot usual" { (svg(usual, "usual")) }
                    div class="plot narrow" { (svg(narrow, "narrow")) }
                }
                Picture::Single(figure) => { div class="plot" { (svg(figure, "svg")) } }
                Picture::Missing(reason) => {
                    (callout(Tone::Warning, &format!(
                        "this chart cannot be drawn ({reason}); its numbers are in the table."
                    )))
                }
                Picture::Wide(figure) => {
                    div class="plot" role="region" tabindex="0" aria-label={ "Chart: " (printable(&self.title)) } {
                        (svg(figure, "svg"))
                    }
                }
            }
        }
    }
}

/// Charts side by side where there is room. One that would have none beside it has its numbers there.
pub(in crate::page) fn charts(charts: &[Chart]) -> Markup {
    let mut column = 0;
    let numbers = charts.iter().enumerate().map(|(at, chart)| {
        let is_last = charts.get(at + 1).is_none_or(Chart::is_wide);
        let is_alone = !chart.is_wide() && column == 0 && is_last;
        column = if chart.is_wide() || is_alone { 0 } else { 1 - column };
        if is_alone { Numbers::Beside } else { Numbers::Below }
    });
    let shown: Vec<Markup> =
        charts.iter().zip(numbers).map(|(chart, numbers)| chart.with(numbers)).collect();
    html! { div class="charts" { @for chart in &shown { (chart) } } }
}

/// A part of the page, with its place in the contents.
pub(in crate::page) struct Section {
    pub(in crate::page) id: &'static str,
    pub(in crate::page) title: &'static str,
    pub(in crate::page) content: Markup,
}

impl Section {
    pub(in crate::page) fn new(id: &'static str, title: &'static str, content: Markup) -> Self {
        Self { id, title, content }
    }

    /// Of charts; `None` where there are none.
    pub(in crate::page) fn of_charts(
        id: &'static str,
        title: &'static str,
        shown: impl IntoIterator<Item = Option<Chart>>,
    ) -> Option<Self> {
        let shown: Vec<Chart> = shown.into_iter().flatten().collect();
        (!shown.is_empty()).then(|| Self::new(id, title, charts(&shown)))
    }

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
        pre class="command" { code { (printable(text)) } }
    }
}
