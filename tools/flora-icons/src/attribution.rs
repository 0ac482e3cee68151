//! `SOURCES.md`: the attribution that CC BY licences require of a model trained on the pairs.

use std::fmt::Write;

use crate::manifest::{Manifest, SourceSummary};

/// SPDX identifier, name and text of each licence, in the order of the document.
const LICENCES: [(&str, &str, &str); 8] = [
    ("CC-BY-4.0", "CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/"),
    ("CC-BY-3.0", "CC BY 3.0", "https://creativecommons.org/licenses/by/3.0/"),
    ("Apache-2.0", "Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0"),
    ("MIT", "MIT", "https://opensource.org/license/mit"),
    ("ISC", "ISC", "https://opensource.org/license/isc-license-txt"),
    ("CC0-1.0", "CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    ("Unlicense", "The Unlicense", "https://unlicense.org/"),
    ("CC-PDDC", "Public domain", "https://creativecommons.org/licenses/publicdomain/"),
];

/// The document, the largest sources of each licence first.
pub(crate) fn markdown(manifest: &Manifest) -> String {
    let packages: Vec<String> =
        manifest.packages.iter().map(|(name, version)| format!("`{name}` {version}")).collect();
    let mut text = format!(
        "# Sources of the pictures\n\n\
         {} pictures from {} sources; {} of the pictures are for validation only. `tools/flora-icons` selected and drew the\n\
         pictures and wrote this list; its README describes how. The sources are in these packages:\n\
         {}.\n\n\
         The pictures were changed: drawn at {size} x {size} pixels, and varied in training (rotated, scaled, shifted, mirrored,\n\
         recoloured, placed on other backgrounds). Captions are cleaned names; those of emoji are the labels and keywords of\n\
         [emojibase](https://emojibase.dev) (MIT, Copyright (c) 2017-2019 Miles Johnson), which are based on Unicode's CLDR.\n\
         [WordNet](https://wordnet.princeton.edu) 3.1 (Princeton University) helped to assign icons to classes.\n\n\
         No author named here endorses flora or a model that was trained with it.\n\n\
         The vendors of EmojiVendors (`openmoji`, `fluent-emoji-flat`, `fluent-emoji`, `fxemoji`) and sets derived from them are\n\
         excluded. So are the {} concepts of its test split, from every source. (`fluent` and `fluent-color` are Microsoft's\n\
         interface icons, not its emoji.)\n",
        count(manifest.pairs),
        manifest.sources.len(),
        count(manifest.valid),
        packages.join(", "),
        manifest.held_out_concepts,
        size = manifest.image_size,
    );
    for (spdx, name, url) in LICENCES {
        let mut sources: Vec<&SourceSummary> =
            manifest.sources.iter().filter(|source| source.origin.license == spdx).collect();
        if sources.is_empty() {
            continue;
        }
        sources.sort_by(|a, b| b.pairs.cmp(&a.pairs).then(a.origin.source.cmp(b.origin.source)));
        let pictures: usize = sources.iter().map(|source| source.pairs).sum();
        // Writing into a string cannot fail.
        let _ = write!(
            text,
            "\n## {name} ({} pictures)\n\nLicence: <{url}>\n\n\
             | source | title | author | home | licence file | pictures |\n|---|---|---|---|---|---:|\n",
            count(pictures)
        );
        for source in sources {
            let origin = &source.origin;
            let (home, licence) =
                (link(&origin.url, &origin.url), link("text", &origin.license_url));
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {home} | {licence} | {} |",
                origin.source,
                cell(&origin.title),
                cell(&origin.author),
                count(source.pairs)
            );
        }
    }
    text
}

fn link(name: &str, url: &str) -> String {
    let name = name.trim_start_matches("https://").trim_end_matches('/');
    if url.is_empty() { "as above".to_owned() } else { format!("[{name}]({url})") }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// With its thousands apart.
fn count(number: usize) -> String {
    match number / 1000 {
        0 => number.to_string(),
        thousands => format!("{thousands},{:03}", number % 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Origin;
    use crate::sources::FREE_LICENCES;
    use std::collections::BTreeMap;

    #[test]
    fn every_source_is_named_with_its_licence() {
        let mut manifest = Manifest::new(BTreeMap::from([("p", "1.0".to_owned())]), 137);
        for (index, license) in FREE_LICENCES.into_iter().enumerate() {
            let origin = Origin {
                source: ["a", "b", "c", "d", "e", "f", "g", "h"][index],
                title: "Title | with a bar".into(),
                author: "An Author".into(),
                url: String::new(),
                license: license.into(),
                license_url: "https://example.org/licence".into(),
            };
            let mut summary = SourceSummary::new(origin, 0);
            summary.pairs = 1_007;
            manifest.push(summary);
        }
        let text = markdown(&manifest);
        for source in &manifest.sources {
            let line = format!("| `{}` | Title \\| with a bar | An Author |", source.origin.source);
            assert!(text.contains(&line), "{}: {text}", source.origin.license);
        }
        assert!(text.contains("(1,007 pictures)") && text.contains("as above"), "{text}");
    }
}
