//! The document around a report.

mod parts;
mod table;

use base64::{Engine, engine::general_purpose::STANDARD};
use flora_core::text::{is_control, printable};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

pub(super) use self::{
    parts::{Card, Chart, Picture, Section, Tone, callout, cards, charts, command},
    table::Table,
};

const STYLE: &str = include_str!("style.css");
/// Follows a run that goes on: see [`serve`](super::serve).
const SCRIPT: &str = include_str!("watch.js");

/// A page before it is written.
pub(super) struct Page {
    /// What it is about.
    pub(super) title: String,
    /// What kind of report it is: `Run`, `Runs`, `Sweep`.
    pub(super) kind: &'static str,
    /// The line below the title.
    pub(super) subtitle: String,
    /// How the run stands, and whether that is good, bad or open.
    pub(super) state: Option<(String, &'static str)>,
    pub(super) sections: Vec<Section>,
}

/// How a page is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Use<'a> {
    /// In a file, which never changes.
    File,
    /// From `flora watch`, which says when there is something new: the version of the files that it shows.
    Watched(&'a str),
}

impl Page {
    /// The document, with all that it needs.
    pub(super) fn html(&self, usage: Use<'_>) -> String {
        let title = printable(&self.title);
        let version = match usage {
            Use::File => None,
            Use::Watched(version) => Some(version),
        };
        let is_watched = version.is_some();
        let document = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy(usage));
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="generator" content={ "flora " (env!("CARGO_PKG_VERSION")) };
                    title { (title) " · flora report" }
                    // Without it, a browser asks the server for one.
                    link rel="icon" href="data:,";
                    style { (PreEscaped(STYLE)) }
                }
                body data-version=[version] {
                    a class="skip" href="#main" { "Skip to the report" }
                    (self.header(is_watched))
                    div class="page" {
                        (self.contents())
                        main id="main" tabindex="-1" {
                            @for section in &self.sections { (section.html()) }
                        }
                    }
                    footer {
                        p { "Written by flora " (env!("CARGO_PKG_VERSION")) ". Everything is in this one page: it loads nothing." }
                    }
                    @if is_watched { script { (PreEscaped(SCRIPT)) } }
                }
            }
        };
        visible(document.into_string())
    }

    fn header(&self, is_watched: bool) -> Markup {
        html! {
            header {
                div class="inner" {
                    p class="kind" { "flora · " (self.kind) }
                    h1 {
                        (printable(&self.title))
                        @if let Some((state, class)) = &self.state {
                            " " span id="state" class={ "state " (class) } { (printable(state)) }
                        }
                    }
                    @if !self.subtitle.is_empty() { p class="subtitle" { (printable(&self.subtitle)) } }
                    @if is_watched { p id="watch" role="status" aria-live="polite" { "This page follows the run." } }
                }
            }
        }
    }

    fn contents(&self) -> Markup {
        html! {
            nav id="contents" aria-label="Contents" {
                ul {
                    @for section in &self.sections {
                        li { a href={ "#" (section.id) } { (section.title) } }
                    }
                }
            }
        }
    }
}

/// The document with marks that change the direction of text written as `\u{202e}`. Names come from other people's files,
/// and such a mark would reverse what follows it.
fn visible(document: String) -> String {
    let is_mark = |character: char| is_control(character) && !character.is_control();
    if !document.contains(is_mark) {
        return document;
    }
    document.split_inclusive(is_mark).fold(String::new(), |mut shown, part| {
        let mark = part.chars().next_back().filter(|&character| is_mark(character));
        shown.push_str(&part[..part.len() - mark.map_or(0, char::len_utf8)]);
        shown.extend(mark.into_iter().flat_map(char::escape_default));
        shown
    })
}

/// The content security policy: the page runs and loads only what this crate wrote.
pub(super) fn policy(usage: Use<'_>) -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    let script = match usage {
        Use::File => String::new(),
        Use::Watched(_) => {
            format!("; script-src 'sha256-{}'; connect-src 'self'", hash(SCRIPT))
        }
    };
    format!(
        "default-src 'none'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'{script}",
        hash(STYLE)
    )
}
