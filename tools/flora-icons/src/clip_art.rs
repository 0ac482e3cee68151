//! The drawings of the Open Clip Art Library, as Debian packages them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::candidates::{Candidate, Pair, with_class};
use crate::categories::Categories;
use crate::classes::Class;
use crate::clip_description::Description;
use crate::clip_folders::{CARDS, class_of, is_in, is_skipped_folder, is_skipped_text};
use crate::error::{Error, Result};
use crate::manifest::Origin;
use crate::wordnet::WordNet;

/// The Debian package.
pub(crate) const PACKAGE: &str = "openclipart-svg";
/// The source in `pairs.jsonl`.
pub(crate) const SOURCE: &str = "openclipart";
/// Creative Commons' public-domain dedication and certification, says the package's copyright file.
pub(crate) const LICENCE: &str = "CC-PDDC";
/// What clip art of a class is called.
const TEMPLATE: &str = "a drawing of a {}.";

/// Larger files are traced photographs, slow to draw and unrecognisable at 64 pixels.
const MAX_BYTES: u64 = 400_000;
/// At most so many drawings have one name: 1,378 are stars and 226 playing cards.
const MAX_PER_NAME: usize = 30;

/// The package unpacked, or the folder of its drawings.
pub(crate) struct ClipArt {
    root: PathBuf,
    drawings: PathBuf,
}

impl ClipArt {
    /// Looks for the drawings in `root`, which `dpkg-deb -R` or `-x` has filled.
    ///
    /// # Errors
    ///
    /// [`Error::MissingClipArt`].
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let drawings = root.join("usr/share/openclipart/svg");
        if !drawings.is_dir() {
            return Err(Error::MissingClipArt { root: root.to_owned() });
        }
        Ok(Self { root: root.to_owned(), drawings })
    }

    /// The version of the package, or `unknown` where its control file was not unpacked.
    pub(crate) fn version(&self) -> String {
        fs::read_to_string(self.root.join("DEBIAN/control"))
            .ok()
            .and_then(|control| {
                control.lines().find_map(|line| line.strip_prefix("Version: ").map(str::to_owned))
            })
            .unwrap_or_else(|| "unknown".to_owned())
    }

    /// The SVG document of a drawing, by its path in the package.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub(crate) fn svg(&self, file: &str) -> Result<String> {
        let path = self.drawings.join(file);
        fs::read_to_string(&path).map_err(|source| Error::Read { path, source })
    }

    /// Every drawing that has a name, in alphabetical order of the files.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub(crate) fn candidates(
        &self,
        wordnet: &WordNet,
        categories: &Categories<'_>,
    ) -> Result<Vec<Candidate>> {
        let mut files = Vec::new();
        list(&self.drawings, "", &mut files)?;
        files.sort_unstable();
        let mut per_name: BTreeMap<String, usize> = BTreeMap::new();
        let mut candidates = Vec::new();
        for file in files {
            let Some((folder, stem)) = file.trim_end_matches(".svg").rsplit_once('/') else {
                continue;
            };
            if is_skipped_folder(folder) {
                continue;
            }
            let Some(description) = Description::read(stem, &self.svg(&file)?) else { continue };
            let Some(name) = name_of(folder, &description, wordnet) else { continue };
            let seen = per_name.entry(name.clone()).or_default();
            *seen += 1;
            if *seen > MAX_PER_NAME {
                continue;
            }
            let class = class_of(folder, &name, categories);
            let captions = captions(&name, &description.useful_keywords(&name, wordnet), class);
            let also = description.phrases().into_iter().collect();
            candidates.push(Candidate {
                pair: Pair { icon: file, name, captions, class },
                hexcode: None,
                also,
            });
        }
        Ok(candidates)
    }
}

/// Whom to thank.
pub(crate) fn origin() -> Origin {
    Origin {
        source: SOURCE,
        title: "Open Clip Art Library 0.18".to_owned(),
        author: "the contributors of the Open Clip Art Library".to_owned(),
        url: "https://openclipart.org".to_owned(),
        license: LICENCE.to_owned(),
        license_url: "https://creativecommons.org/licenses/publicdomain/".to_owned(),
    }
}

/// What is drawn; `None` where that is unknown, or a flag, a company's sign or a letter.
fn name_of(folder: &str, description: &Description, wordnet: &WordNet) -> Option<String> {
    let name = match description.title.as_str() {
        "card" if is_in(folder, CARDS) => "playing card".to_owned(),
        _ => description.name(wordnet)?,
    };
    let is_skipped = [&description.stem, &name]
        .into_iter()
        .chain(&description.keywords)
        .any(|text| is_skipped_text(text));
    (!is_skipped).then_some(name)
}

fn captions(name: &str, keywords: &[String], class: Option<Class>) -> Vec<String> {
    let mut captions = vec![name.to_owned()];
    if !keywords.is_empty() {
        captions.push(format!("{name}, {}", keywords.join(", ")));
    }
    if let Some(class) = class {
        captions.extend(with_class(name, class, TEMPLATE));
    }
    captions
}

/// The SVG files below `folder` that are neither links to others nor too large.
fn list(folder: &Path, prefix: &str, files: &mut Vec<String>) -> Result<()> {
    let failed = |source| Error::Read { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        // Does not follow links.
        let meta = entry.metadata().map_err(failed)?;
        if meta.is_dir() {
            list(&entry.path(), &format!("{prefix}{name}/"), files)?;
        } else if meta.is_file() && name.ends_with(".svg") && meta.len() <= MAX_BYTES {
            files.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::find;
    use crate::concept::{Concept, Split};
    use crate::emojibase::{Emoji, Emojibase};
    use crate::held_out::HeldOut;
    use crate::wordnet::tests::miniature;

    const SVG: &str = r#"<svg xmlns="http://www.w3.org/2000/svg" xmlns:dc="http://purl.org/dc/elements/1.1/"
        xmlns:cc="http://web.resource.org/cc/" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
        <title>not this</title>
        <metadata><rdf:RDF><cc:Work><dc:title> TITLE </dc:title>
            <dc:subject><rdf:Bag><rdf:li>hash</rdf:li><rdf:li>KEYWORD</rdf:li></rdf:Bag></dc:subject>
            <dc:creator><cc:Agent><dc:title>Benji Park</dc:title></cc:Agent></dc:creator>
        </cc:Work></rdf:RDF></metadata><path d="M0 0h1v1z"/></svg>"#;

    fn package(files: &[(&str, String)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("temporary folder");
        for (file, content) in files {
            let path = root.path().join("usr/share/openclipart/svg").join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
            fs::write(path, content).expect("file");
        }
        root
    }

    fn svg(title: &str, keyword: &str) -> String {
        SVG.replace("TITLE", title).replace("KEYWORD", keyword)
    }

    fn candidates(root: &Path) -> Vec<Candidate> {
        let base = Emojibase::from_json("[]", r#"{"groups": {}, "subgroups": {}}"#);
        let fox = Concept {
            emoji: Emoji {
                hexcode: "1F98A".to_owned(),
                emoji: String::new(),
                label: "fox".to_owned(),
                tags: Vec::new(),
                group: None,
                subgroup: None,
            },
            group: String::new(),
            class: find("animal-mammal").expect("a class"),
            split: Split::Test,
        };
        let (wordnet, concepts) = (miniature(), [fox]);
        let held_out = HeldOut::new(&base, &concepts);
        let categories =
            Categories::with_synsets(&wordnet, &held_out, &concepts, &[]).expect("tables");
        ClipArt::open(root)
            .and_then(|art| art.candidates(&wordnet, &categories))
            .expect("candidates")
    }

    #[test]
    fn drawings_get_captions_from_title_keywords_and_folder() {
        let root = package(&[
            ("animals/birds/finch_benji_park_01.svg", svg("Finch", "animal")),
            ("animals/ball_benji_par.svg", svg("gramastar", "ball")),
            ("animals/cigno_01.svg", svg("Cigno", "bird")),
            ("animals/finch_text.svg", svg("Finch", "").replace("<path", "<text>a</text><path")),
            ("animals/finch_broken.svg", "<svg".to_owned()),
            ("animals/finch_flag.svg", svg("Finch", "flag")),
            ("logos/finch.svg", svg("Finch", "")),
            ("recreation/games/cards/simple/s_2.svg", svg("card", "card")),
        ]);
        let candidates = candidates(root.path());
        let captions: Vec<(&str, Vec<&str>)> = candidates
            .iter()
            .map(|it| {
                (it.pair.icon.as_str(), it.pair.captions.iter().map(String::as_str).collect())
            })
            .collect();
        assert_eq!(
            captions,
            [
                ("animals/ball_benji_par.svg", vec!["ball"]),
                (
                    "animals/birds/finch_benji_park_01.svg",
                    vec![
                        "finch",
                        "finch, animal",
                        "finch, bird",
                        "a drawing of a bird.",
                        "a picture of an animal."
                    ]
                ),
                (
                    "recreation/games/cards/simple/s_2.svg",
                    vec![
                        "playing card",
                        "playing card, game or toy",
                        "a drawing of a game or toy.",
                        "a picture of a hobby or game."
                    ]
                ),
            ]
        );
    }

    #[test]
    fn a_drawing_says_all_that_could_tell_a_held_out_concept_and_its_class_is_not_told() {
        let root = package(&[
            ("animals/mammals/red_fox_01.svg", svg("Red Fox", "animal")),
            ("animals/mammals/finch.svg", svg("finch", "little foxes")),
        ]);
        let candidates = candidates(root.path());
        assert_eq!(candidates[0].pair.name, "finch");
        assert!(candidates[0].also.contains(&"foxes".to_owned()), "{:?}", candidates[0].also);
        assert!(candidates[1].also.contains(&"fox".to_owned()), "{:?}", candidates[1].also);
        assert_eq!(candidates[1].pair.class, None);
    }

    #[test]
    fn one_name_is_not_drawn_without_end() {
        let files: Vec<(String, String)> =
            (0..40).map(|i| (format!("animals/ball_{i}.svg"), svg("", ""))).collect();
        let files: Vec<(&str, String)> =
            files.iter().map(|(file, content)| (file.as_str(), content.clone())).collect();
        assert_eq!(candidates(package(&files).path()).len(), MAX_PER_NAME);
    }

    #[test]
    fn the_version_comes_from_the_control_file_and_a_missing_package_is_explained() {
        let root = package(&[("animals/ball.svg", svg("ball", ""))]);
        assert_eq!(ClipArt::open(root.path()).expect("a package").version(), "unknown");
        fs::create_dir(root.path().join("DEBIAN")).expect("folder");
        fs::write(
            root.path().join("DEBIAN/control"),
            "Package: openclipart-svg\nVersion: 1:0.18\n",
        )
        .expect("file");
        assert_eq!(ClipArt::open(root.path()).expect("a package").version(), "1:0.18");
        let empty = tempfile::tempdir().expect("temporary folder");
        let error = ClipArt::open(empty.path()).err().expect("no package").to_string();
        assert!(error.contains("apt-get download openclipart-svg"), "{error}");
    }
}
