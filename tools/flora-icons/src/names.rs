//! Icon names to captions.

/// How an icon is drawn; of each icon of a set at most one drawing of either style is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Style {
    /// Outlines.
    Line,
    /// Filled shapes.
    Fill,
    /// One weight, corner or tone more of a drawing that is kept already.
    Variant,
}

/// How a set spells its styles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Naming {
    /// The style of a name without a suffix.
    pub(crate) plain: Style,
    /// The words at the end of a name that tell the style.
    pub(crate) suffixes: &'static [(&'static str, Style)],
}

/// The caption and the style of the icon `name`, or `None` where nothing is left to say.
///
/// Words for the style go only from the end and only if the set uses them so: `light` is a weight in `armchair-light`
/// and a thing in `traffic-light`. Sizes and running numbers go wherever they are.
pub(crate) fn clean(name: &str, naming: Naming) -> Option<(String, Style)> {
    let mut words: Vec<String> =
        name.split(['-', '_']).filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    let mut style = naming.plain;
    while words.len() > 1 {
        let last = words[words.len() - 1].as_str();
        let suffix =
            naming.suffixes.iter().find(|(suffix, _)| *suffix == last).map(|(_, style)| *style);
        match suffix {
            Some(_) if style == Style::Variant => {}
            Some(found) => style = found,
            None if is_number(last) => {}
            None => break,
        }
        words.pop();
    }
    words.retain(|word| !is_number(word));
    let caption = words.join(" ");
    // Letters, digits and signs drawn as icons teach no words.
    let says_something =
        words.iter().any(|word| word.chars().filter(|c| c.is_alphabetic()).count() >= 2);
    says_something.then_some((caption, style))
}

/// The caption's words, for rules about words.
pub(crate) fn has_word(name: &str, forbidden: &[&str]) -> bool {
    name.split(['-', '_', ' ']).any(|word| forbidden.contains(&word))
}

/// Emojibase's typographic signs in plain ASCII.
pub(crate) fn text(label: &str) -> String {
    label.replace('’', "'").replace(['“', '”'], "\"").replace(':', ",").to_lowercase()
}

/// `24`, `24px`, or `2x`.
pub(crate) fn is_number(word: &str) -> bool {
    let digits = word.trim_end_matches("px").trim_end_matches('x');
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHOSPHOR: Naming = Naming {
        plain: Style::Line,
        suffixes: &[("thin", Style::Variant), ("light", Style::Variant), ("fill", Style::Fill)],
    };
    const FLUENT: Naming = Naming {
        plain: Style::Line,
        suffixes: &[("regular", Style::Line), ("filled", Style::Fill)],
    };
    const MATERIAL: Naming = Naming {
        plain: Style::Fill,
        suffixes: &[
            ("outline", Style::Line),
            ("rounded", Style::Variant),
            ("sharp", Style::Variant),
        ],
    };
    const PLAIN: Naming = Naming { plain: Style::Line, suffixes: &[] };

    fn cleaned(name: &str, naming: Naming) -> Option<(String, Style)> {
        clean(name, naming)
    }

    #[test]
    fn style_words_and_sizes_go_from_the_end() {
        let line = |caption: &str| Some((caption.to_owned(), Style::Line));
        let fill = |caption: &str| Some((caption.to_owned(), Style::Fill));
        assert_eq!(cleaned("camera-add-24-regular", FLUENT), line("camera add"));
        assert_eq!(cleaned("camera-add-20-filled", FLUENT), fill("camera add"));
        assert_eq!(cleaned("account-box-outline", MATERIAL), line("account box"));
        assert_eq!(cleaned("account-box", MATERIAL), fill("account box"));
        assert_eq!(cleaned("armchair-fill", PHOSPHOR), fill("armchair"));
        assert_eq!(cleaned("syringe-24px", PLAIN), line("syringe"));
        assert_eq!(cleaned("Plant_01", PLAIN), line("plant"));
    }

    #[test]
    fn weights_are_variants_even_beside_another_style_word() {
        assert_eq!(
            cleaned("armchair-light", PHOSPHOR).map(|(_, style)| style),
            Some(Style::Variant)
        );
        assert_eq!(
            cleaned("home-outline-rounded", MATERIAL).map(|(_, style)| style),
            Some(Style::Variant)
        );
    }

    #[test]
    fn a_style_word_that_is_the_subject_stays() {
        assert_eq!(
            cleaned("traffic-light", PLAIN).map(|(caption, _)| caption).as_deref(),
            Some("traffic light")
        );
        assert_eq!(
            cleaned("fill-drip", PHOSPHOR).map(|(caption, _)| caption).as_deref(),
            Some("fill drip")
        );
        assert_eq!(
            cleaned("light", PHOSPHOR).map(|(caption, _)| caption).as_deref(),
            Some("light")
        );
        assert_eq!(
            cleaned("3d-cube", PLAIN).map(|(caption, _)| caption).as_deref(),
            Some("3d cube")
        );
    }

    #[test]
    fn numbers_and_single_letters_are_no_captions() {
        for name in ["1", "24-filled", "a", "1-2", "letter", ""] {
            assert_eq!(cleaned(name, FLUENT).is_some(), name == "letter", "{name}");
        }
    }

    #[test]
    fn words_are_whole_words() {
        assert!(has_word("logo-github", &["logo"]));
        assert!(!has_word("logout", &["logo"]));
    }
}
