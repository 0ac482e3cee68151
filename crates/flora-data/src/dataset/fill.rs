//! Text with placeholders for values from a row of a list: `images/{1}.jpg`.

use std::borrow::Cow;

/// Alternating text and slots. `S` identifies the value of a slot in a row.
#[derive(Debug)]
pub(super) struct Fill<S>(Vec<Piece<S>>);

#[derive(Debug)]
enum Piece<S> {
    Text(String),
    /// The value is zero-padded on the left to at least `width` characters.
    Slot {
        slot: S,
        width: usize,
    },
}

impl<S> Fill<S> {
    /// Parses `text`, using `resolve` for each name in braces. The error is the problem.
    pub(super) fn parse(
        text: &str,
        mut resolve: impl FnMut(&str) -> Result<S, String>,
    ) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find(['{', '}']) {
            let unbalanced = || "its braces do not match".to_owned();
            let inside = rest[start..].strip_prefix('{').ok_or_else(unbalanced)?;
            let (name, after) = inside.split_once('}').ok_or_else(unbalanced)?;
            if name.contains('{') {
                return Err(unbalanced());
            }
            pieces.push(Piece::Text(rest[..start].to_owned()));
            let (name, width) = padded(name);
            pieces.push(Piece::Slot { slot: resolve(name)?, width });
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    /// The text for a row.
    pub(super) fn fill<'a>(
        &self,
        value: impl Fn(&S) -> Result<Cow<'a, str>, String>,
    ) -> Result<String, String> {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled += text,
                Piece::Slot { slot, width } => {
                    let value = value(slot)?;
                    for _ in value.chars().count()..*width {
                        filled.push('0');
                    }
                    filled += &value;
                }
            }
        }
        Ok(filled)
    }
}

/// `number:05` is `number`, five characters wide.
fn padded(name: &str) -> (&str, usize) {
    match name.rsplit_once(":0") {
        Some((name, width)) => match width.parse::<u8>() {
            Ok(width) => (name, width.into()),
            Err(_) => (name, 0),
        },
        None => (name, 0),
    }
}

/// The folder common to all filled texts, as far as it contains no slots; may be empty.
pub(super) fn fixed_folder(text: &str) -> &str {
    let fixed = &text[..text.find('{').unwrap_or(text.len())];
    fixed.rfind('/').map_or("", |end| &fixed[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Fill<String>, String> {
        Fill::parse(text, |name| match name {
            "" => Err("no name".to_owned()),
            name => Ok(name.to_owned()),
        })
    }

    #[test]
    fn slots_are_filled_and_padded() {
        let fill = parse("jpg/image_{number:05}.{ext}").unwrap();
        let filled = fill.fill(|slot| Ok(if slot == "ext" { "jpg" } else { "42" }.into()));
        assert_eq!(filled.unwrap(), "jpg/image_00042.jpg");
        let long = fill.fill(|_| Ok("1234567".into())).unwrap();
        assert_eq!(long, "jpg/image_1234567.1234567");
        assert_eq!(parse("plain").unwrap().fill(|_| Err("unused".into())).unwrap(), "plain");
    }

    #[test]
    fn bad_braces_and_names_are_refused() {
        for bad in ["{", "}", "a{b", "a}b{c}", "{a{b}}", "{}", "{a}}"] {
            parse(bad).unwrap_err();
        }
    }

    #[test]
    fn the_fixed_folder_ends_before_the_first_slot() {
        for (text, folder) in [
            ("images/{1}.jpg", "images"),
            ("a/b/image_{1}.jpg", "a/b"),
            ("{1}/x.jpg", ""),
            ("cars_{split}/{1}", ""),
        ] {
            assert_eq!(fixed_folder(text), folder);
        }
    }
}
