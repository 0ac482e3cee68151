//! What an SVG file of clip art says about itself, in RDF.

use roxmltree::{Document, Node, ParsingOptions};

/// What is known of a drawing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    /// The file's name without folder and extension.
    pub(crate) stem: String,
    /// The title, often that of a collection.
    pub(crate) title: String,
    /// Who drew it.
    pub(crate) authors: Vec<String>,
    /// Keywords as they are written.
    pub(crate) keywords: Vec<String>,
}

impl Description {
    /// Title, authors and keywords of a drawing; `None` for what is no XML, and for drawings with text or bitmaps, which the
    /// renderer leaves out.
    pub(crate) fn read(stem: &str, svg: &str) -> Option<Self> {
        let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
        let document = Document::parse_with_options(svg, options).ok()?;
        let mut description = Self { stem: stem.to_owned(), ..Self::default() };
        for node in document.descendants().filter(Node::is_element) {
            let text = || node.text().unwrap_or_default().trim().to_owned();
            match node.tag_name().name() {
                "text" | "image" | "flowRoot" => return None,
                "title" if parent(node) == Some("Work") => description.title = text(),
                "title" if parent(node) == Some("Agent") => description.authors.push(text()),
                "li" if parent(node) == Some("Bag") => description.keywords.push(text()),
                _ => {}
            }
        }
        Some(description)
    }
}

fn parent<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    node.parent_element().map(|parent| parent.tag_name().name())
}
