//! Titles, file names and keywords of clip art to names.

use std::collections::BTreeSet;

use crate::clip_description::Description;
use crate::held_out::phrases;
use crate::names::has_word;
use crate::wordnet::WordNet;

/// Titles that name a collection, a form or a desktop theme rather than what is drawn.
const COLLECTION_WORDS: &[&str] = &[
    "clipart",
    "cliparts",
    "collection",
    "gramastar",
    "icons",
    "iconset",
    "sibmission",
    "submission",
    "theme",
    "unknown",
    "untitled",
    "various",
];
/// Words of file names and keywords that say nothing about the drawing.
const EMPTY_WORDS: &[&str] = &[
    "action",
    "appicon",
    "application",
    "art",
    "bw",
    "bwh",
    "clip",
    "clipart",
    "copyright",
    "device",
    "filesystem",
    "fs",
    "gnome",
    "hash",
    "icon",
    "icons",
    "kde",
    "mapsym",
    "menu",
    "mime",
    "mimetypes",
    "mimetype",
    "networksym",
    "signs",
    "stock",
    "svg",
    "symbol",
    "symbols",
    "theme",
    "unsorted",
];
/// Keywords for whole folders of the collection.
const EMPTY_KEYWORDS: &[&str] = &["computer", "education", "recreation", "transportation"];
/// Authors who wrote Italian and French.
const OTHER_LANGUAGES: &[&str] =
    &["architettofrancescorollandin", "francescorollandin", "rollandinfrancesco", "yvesguillou"];
/// Small words that are no entries of WordNet.
const SMALL_WORDS: &[&str] = &["and", "for", "from", "into", "of", "the", "to", "with"];
/// A caption lists this many keywords at most: clip-nano reads few tokens.
const MAX_KEYWORDS: usize = 4;
/// Longer titles are sentences.
const MAX_WORDS: usize = 8;

impl Description {
    /// The name of what is drawn: the title, if the file name shares a word with it, and otherwise the file name without
    /// running number and author. `None` where neither is English: such a drawing could not be checked against
    /// the held-out concepts.
    pub(crate) fn name(&self, wordnet: &WordNet) -> Option<String> {
        let other = |author: &String| OTHER_LANGUAGES.contains(&squeezed(author).as_str());
        if self.authors.iter().any(other) {
            return None;
        }
        let stem = self.stem_words();
        let title = words(&self.title);
        let agrees = title.iter().any(|word| word.len() >= 3 && stem.contains(word));
        let is_useful = !self.title.contains('@')
            && !has_any(&title, COLLECTION_WORDS)
            && !self.is_author(&title.join(" "))
            && title.len() <= MAX_WORDS;
        let mut name = if agrees && is_useful { title } else { stem };
        name.retain(|word| !EMPTY_WORDS.contains(&word.as_str()));
        // A file name is cut at a certain length: "apple and" was "apple and cheese".
        while name.last().is_some_and(|word| SMALL_WORDS.contains(&word.as_str())) {
            name.pop();
        }
        is_english(&name, wordnet).then(|| name.join(" "))
    }

    /// At most four keywords that say something, without the name itself.
    pub(crate) fn useful_keywords(&self, name: &str, wordnet: &WordNet) -> Vec<String> {
        let mut kept: Vec<String> = Vec::new();
        for keyword in &self.keywords {
            let words = words(keyword);
            let keyword = words.join(" ");
            if words.len() <= 3
                && keyword != name
                && !has_word(&keyword, EMPTY_WORDS)
                && !EMPTY_KEYWORDS.contains(&keyword.as_str())
                && !self.is_author(&keyword)
                && is_english(&words, wordnet)
                && !kept.contains(&keyword)
            {
                kept.push(keyword);
            }
        }
        kept.truncate(MAX_KEYWORDS);
        kept
    }

    /// What the file name, the title and each keyword could name, unless they are about a collection.
    pub(crate) fn phrases(&self) -> BTreeSet<String> {
        let keywords = self.keywords.iter().map(|keyword| words(keyword));
        let keywords = keywords.filter(|words| !has_any(words, EMPTY_WORDS));
        let title = Some(words(&self.title)).filter(|words| !has_any(words, COLLECTION_WORDS));
        keywords
            .chain(title)
            .chain([words(&self.stem)])
            .flat_map(|words| phrases(&words.iter().map(String::as_str).collect::<Vec<_>>()))
            .collect()
    }

    /// The words of the file name without the author's name, cut short or not, at its end.
    fn stem_words(&self) -> Vec<String> {
        let bare = self.stem.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
        let bare = bare.strip_suffix("_r").unwrap_or(bare).trim_end_matches('_');
        let authors: Vec<String> = self.authors.iter().map(|author| squeezed(author)).collect();
        let is_author = |tail: &str| {
            let tail = squeezed(tail);
            tail.len() >= 2 && authors.iter().any(|author| author.starts_with(&tail))
        };
        let cut = bare
            .match_indices(['_', '-'])
            .map(|(separator, _)| separator)
            .find(|&separator| is_author(&bare[separator + 1..]));
        words(&bare[..cut.unwrap_or(bare.len())])
    }

    fn is_author(&self, text: &str) -> bool {
        let text = squeezed(text);
        self.authors.iter().any(|author| squeezed(author) == text)
    }
}

/// Lower-case words without running numbers: `SortieSecours4` and `sortie_secours-04` are `sortie secours`.
fn words(text: &str) -> Vec<String> {
    let mut spaced = String::with_capacity(text.len() + 8);
    let mut previous = ' ';
    for c in text.chars() {
        if c.is_uppercase() && previous.is_lowercase() {
            spaced.push(' ');
        }
        spaced.push(if c.is_alphanumeric() || c == '\'' { c } else { ' ' });
        previous = c;
    }
    spaced
        .split_whitespace()
        .map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit() || c == '\''))
        .map(|word| word.trim_start_matches('\'').to_lowercase())
        .filter(|word| word.chars().count() >= 2 && !word.starts_with(|c: char| c.is_ascii_digit()))
        .collect()
}

/// Whether most of the words are English, and not only small ones.
fn is_english(words: &[String], wordnet: &WordNet) -> bool {
    let known = |word: &&String| {
        SMALL_WORDS.contains(&word.as_str()) || wordnet.knows(word.trim_end_matches("'s"))
    };
    let content = words.iter().filter(|word| word.len() >= 3);
    content.clone().any(|word| known(&word)) && 2 * words.iter().filter(known).count() > words.len()
}

fn has_any(words: &[String], list: &[&str]) -> bool {
    words.iter().any(|word| list.contains(&word.as_str()))
}

/// Letters and digits in lower case, to compare names of persons.
fn squeezed(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wordnet() -> WordNet {
        let index: String = [
            "monkey",
            "traffic_light",
            "light",
            "traffic",
            "cone",
            "star",
            "cheetah",
            "tiger",
            "toy",
            "feline",
        ]
        .iter()
        .map(|noun| format!("{noun} n 1 0 1 0 00000001\n"))
        .collect();
        WordNet::parse(&index, "", "", &["happy a 1 0 1 0 00000002\nred a 1 0 1 0 00000002\n"])
            .expect("a dictionary")
    }

    fn description(stem: &str, title: &str, author: &str) -> Description {
        Description {
            stem: stem.to_owned(),
            title: title.to_owned(),
            authors: vec![author.to_owned()],
            keywords: Vec::new(),
        }
    }

    fn name(stem: &str, title: &str, author: &str) -> Option<String> {
        description(stem, title, author).name(&wordnet())
    }

    #[test]
    fn a_title_that_the_file_name_confirms_is_the_name() {
        assert_eq!(
            name("traffic_light_red_dan_ge_01", "Traffic Light: Red", "Dan Gerhards").as_deref(),
            Some("traffic light red")
        );
        assert_eq!(name("tiger02_archi_01", "Tiger02", "Archi").as_deref(), Some("tiger"));
    }

    #[test]
    fn titles_of_collections_give_way_to_the_file_name() {
        for title in
            ["gramastar", "", "unknown", "Clipart by Nicu Buculei - monkey", "Sallite", "a@b.de"]
        {
            assert_eq!(
                name("happy_monkey_nicu_bucul_01", title, "Nicu Buculei").as_deref(),
                Some("happy monkey"),
                "{title}"
            );
        }
        assert_eq!(name("star_23pt04step", "gramastar", "x").as_deref(), Some("star"));
        assert_eq!(name("redTrafficLight4", "", "").as_deref(), Some("red traffic light"));
    }

    #[test]
    fn authors_running_numbers_and_empty_words_go() {
        assert_eq!(
            name("monkey_benji_park_01", "Benji Park", "Benji Park").as_deref(),
            Some("monkey")
        );
        assert_eq!(name("traffic_cone1_ganson_r", "", "Ganson").as_deref(), Some("traffic cone"));
        assert_eq!(name("gnome-fs-star-icon", "", "").as_deref(), Some("star"));
        assert_eq!(name("red_cone_and", "", "").as_deref(), Some("red cone"));
    }

    #[test]
    fn what_is_not_english_or_says_nothing_has_no_name() {
        assert_eq!(name("star", "star", "yves GUILLOU"), None);
        for stem in ["cigno_archi_01", "quattro_star", "001", "kcmdrkonqi", "icon_symbol", ""] {
            assert_eq!(name(stem, "Cigno", "Archi"), None, "{stem}");
        }
    }

    #[test]
    fn at_most_four_keywords_that_say_something_are_kept() {
        let mut description = description("tiger", "", "Dan Allen");
        description.keywords = [
            "hash",
            "",
            "Feline",
            "tiger",
            "dan allen",
            "toy",
            "feline",
            "gatto",
            "lemon_theme_icon",
        ]
        .map(str::to_owned)
        .into();
        assert_eq!(description.useful_keywords("tiger", &wordnet()), ["feline", "toy"]);
        description.keywords = ["toy", "star", "cone", "light", "monkey"].map(str::to_owned).into();
        assert_eq!(description.useful_keywords("tiger", &wordnet()).len(), 4);
    }
}
