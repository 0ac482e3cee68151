//! Models with a short name.

/// A model with a short name: a folder of flora, and usually a repository with its weights.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownModel {
    /// The name, as in `--model vit-base-patch32`.
    pub name: &'static str,
    /// An alias, as in `--model vit-b-32`.
    pub short: Option<&'static str>,
    /// The folder that is used if it exists; see [`find`](crate::find()) for the search.
    pub folder: &'static str,
    /// The fallback `owner/name` on the hub; `None` for a model that ships with flora.
    pub repository: Option<&'static str>,
}

/// Every model with a short name. The names are those that `flora_clip::ClipConfig::preset` knows.
pub const KNOWN: [KnownModel; 5] = [
    KnownModel { name: "clip-nano", short: None, folder: "models/clip-nano", repository: None },
    KnownModel {
        name: "vit-base-patch32",
        short: Some("vit-b-32"),
        folder: "models/clip-vit-base-patch32",
        repository: Some("openai/clip-vit-base-patch32"),
    },
    KnownModel {
        name: "vit-base-patch16",
        short: Some("vit-b-16"),
        folder: "models/clip-vit-base-patch16",
        repository: Some("openai/clip-vit-base-patch16"),
    },
    KnownModel {
        name: "vit-large-patch14",
        short: Some("vit-l-14"),
        folder: "models/clip-vit-large-patch14",
        repository: Some("openai/clip-vit-large-patch14"),
    },
    KnownModel {
        name: "vit-large-patch14-336",
        short: Some("vit-l-14-336"),
        folder: "models/clip-vit-large-patch14-336",
        repository: Some("openai/clip-vit-large-patch14-336"),
    },
];

impl KnownModel {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        KNOWN.iter().find(|known| known.name == name || known.short == Some(name))
    }
}

/// The names, for messages.
pub(crate) fn names() -> String {
    let shown = |known: KnownModel| match known.short {
        Some(short) => format!("{} ({short})", known.name),
        None => known.name.to_owned(),
    };
    KNOWN.map(shown).join(", ")
}
