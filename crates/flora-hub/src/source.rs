//! Parsing of a model's name.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::{HubError, KnownModel};

/// The source of a model.
///
/// | text | meaning |
/// |---|---|
/// | `hf:owner/name`, `hf:owner/name@revision` | a repository of the hub; a folder called `hf:…` is written `./hf:…` |
/// | the name of one of the [`KNOWN`](crate::KNOWN) models | that model, unless a file or folder of that name exists |
/// | anything else | a path; see [`find`](crate::find()) |
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelSource {
    /// A file or folder.
    Local(PathBuf),
    /// A model with a short name.
    Known(&'static KnownModel),
    /// A repository of the hub.
    Hub(HubModel),
}

impl FromStr for ModelSource {
    type Err = HubError;

    /// Parses the text without access to the disk; [`resolve`](crate::resolve()) decides whether an existing file or
    /// folder takes precedence over a known name.
    fn from_str(text: &str) -> Result<Self, HubError> {
        let refuse = |problem: &str| Err(HubError::source(text, problem));
        if let Some(repository) = text.strip_prefix("hf:") {
            return HubModel::parse(repository).map(Self::Hub).or_else(|problem| refuse(&problem));
        }
        if text.is_empty() {
            return refuse("empty; name a folder or a file, or hf:owner/name[@revision]");
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return refuse("addresses are not supported; write hf:owner/name[@revision]");
        }
        Ok(KnownModel::named(text).map_or_else(|| Self::Local(text.into()), Self::Known))
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Known(known) => known.name.fmt(f),
            Self::Hub(model) => model.fmt(f),
        }
    }
}

/// A repository of the hub, at a revision.
///
/// Every part is validated on creation, because it becomes part of addresses and of paths below the cache folder: no
/// `..`, no separators, no characters that the hub does not allow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HubModel {
    owner: String,
    name: String,
    revision: Option<String>,
}

impl HubModel {
    /// The model `owner/name` at `revision`: a branch, a tag or a commit; `None` means the branch `main`.
    ///
    /// Owner and name follow the hub's rules: up to 96 ASCII letters, digits, `-`, `_` and `.`, neither `-` nor `.`
    /// first or last, no `--` and no `..`. A revision may have `/` between such parts (`refs/pr/7`), and up to 200
    /// characters.
    ///
    /// # Errors
    ///
    /// [`HubError::Source`] names the invalid part.
    pub fn new(owner: &str, name: &str, revision: Option<&str>) -> Result<Self, HubError> {
        Self::checked(owner, name, revision).map_err(|problem| {
            let revision = revision.map(|revision| format!("@{revision}")).unwrap_or_default();
            HubError::source(&format!("hf:{owner}/{name}{revision}"), &problem)
        })
    }

    fn checked(owner: &str, name: &str, revision: Option<&str>) -> Result<Self, String> {
        for (part, text) in [("owner", owner), ("name", name)] {
            if !is_repository_part(text) {
                return Err(format!(
                    "{part} {text:?} is not allowed on the hub: letters, digits, \"-\", \"_\" and \".\", \
                     not \"-\" or \".\" first or last, no \"--\" or \"..\", at most 96"
                ));
            }
        }
        if let Some(revision) = revision.filter(|revision| !is_revision(revision)) {
            return Err(format!(
                "revision {revision:?} is not a branch, tag or commit: letters, digits, \"-\", \"_\", \".\" \
                 and \"/\" in between"
            ));
        }
        Ok(Self { owner: owner.into(), name: name.into(), revision: revision.map(Into::into) })
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (repository, revision) = match text.split_once('@') {
            Some((repository, revision)) => (repository, Some(revision)),
            None => (text, None),
        };
        match repository.split_once('/') {
            Some((owner, name)) => Self::checked(owner, name, revision),
            None => Err("the owner is missing; write hf:owner/name[@revision]".into()),
        }
    }

    /// The owner of the repository.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The name of the repository.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The requested branch, tag or commit.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// `owner/name`, as on the hub.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// The revision, or the hub's default branch.
    pub(crate) fn revision_or_main(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }
}

/// The textual form: `hf:owner/name[@revision]`.
impl fmt::Display for HubModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf:{}/{}", self.owner, self.name)?;
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// The rules of `huggingface_hub.utils.validate_repo_id`.
fn is_repository_part(text: &str) -> bool {
    (1..=96).contains(&text.len())
        && is_word(text)
        && !text.starts_with(['-', '.'])
        && !text.ends_with(['-', '.'])
        && !text.ends_with(".git")
        && !text.contains("--")
        && !text.contains("..")
}

/// Git's rules for references (`git help check-ref-format`), without the characters that would have
/// to be escaped in an address.
fn is_revision(text: &str) -> bool {
    text.len() <= 200
        && text.split('/').all(|part| {
            !part.is_empty()
                && is_word(part)
                && !part.starts_with(['-', '.'])
                && !part.ends_with('.')
                && !part.ends_with(".lock")
                && !part.contains("..")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(text: &str) -> HubModel {
        match text.parse().unwrap() {
            ModelSource::Hub(model) => model,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn repositories() {
        for (text, owner, name, revision) in [
            ("hf:openai/clip-vit-base-patch32", "openai", "clip-vit-base-patch32", None),
            (
                "hf:openai/clip-vit-base-patch32@main",
                "openai",
                "clip-vit-base-patch32",
                Some("main"),
            ),
            (
                "hf:laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
                "laion",
                "CLIP-ViT-B-32-laion2B-s34B-b79K",
                None,
            ),
            (
                "hf:timm/vit_base_patch16_clip_224.openai",
                "timm",
                "vit_base_patch16_clip_224.openai",
                None,
            ),
            ("hf:_a/_b@v1.0", "_a", "_b", Some("v1.0")),
            ("hf:a/b@refs/pr/15", "a", "b", Some("refs/pr/15")),
            (
                "hf:a/b@3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",
                "a",
                "b",
                Some("3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268"),
            ),
        ] {
            let model = hub(text);
            assert_eq!((model.owner(), model.name(), model.revision()), (owner, name, revision));
            assert_eq!(model.to_string(), text);
            assert_eq!(HubModel::new(owner, name, revision).unwrap(), model);
        }
    }

    #[test]
    fn hostile_repositories() {
        let long = format!("hf:a/{}", "b".repeat(97));
        let long_revision = format!("hf:a/b@{}", "c".repeat(201));
        for text in [
            "hf:",
            "hf:/",
            "hf:a",
            "hf:a/",
            "hf:/b",
            "hf:a/b/c",
            "hf:a//b",
            "hf://a/b",
            "hf:../b",
            "hf:a/..",
            "hf:a/.",
            "hf:./b",
            "hf:.a/b",
            "hf:a/.b",
            "hf:a/b.",
            "hf:-a/b",
            "hf:a/b-",
            "hf:a..b/c",
            "hf:a/b..c",
            "hf:a--b/c",
            "hf:a/b--c",
            "hf:a/b.git",
            "hf:a\\b/c",
            "hf:a/b\\c",
            "hf:a/b c",
            "hf: a/b",
            "hf:a/b ",
            "hf:a/b\n",
            "hf:a/b\0",
            "hf:a/b%2e",
            "hf:a/b?x",
            "hf:a/b#x",
            "hf:a:b/c",
            "hf:é/b",
            "hf:a/文",
            "hf:a/b@",
            "hf:a/b@..",
            "hf:a/b@../c",
            "hf:a/b@c/../d",
            "hf:a/b@/c",
            "hf:a/b@c/",
            "hf:a/b@c//d",
            "hf:a/b@.c",
            "hf:a/b@c/.d",
            "hf:a/b@-c",
            "hf:a/b@c.lock",
            "hf:a/b@c.",
            "hf:a/b@c\\d",
            "hf:a/b@c d",
            "hf:a/b@c@d",
            "hf:a/b@c?d",
            "hf:a/b@c%2f",
            "hf:a/b@~1",
            "hf:a/b@c^",
            "hf:a/b@é",
            "hf:@",
            "hf:@main",
            "hf:a@main",
            &long,
            &long_revision,
        ] {
            let error = text.parse::<ModelSource>().unwrap_err();
            assert!(matches!(error, HubError::Source { .. }), "{text:?}: {error:?}");
        }
        assert!(HubModel::new("a", "b/c", None).is_err());
        assert!(HubModel::new("a@b", "c", None).is_err());
    }

    #[test]
    fn known_names_and_paths() {
        for known in &crate::KNOWN {
            assert_eq!(known.name.parse::<ModelSource>().unwrap(), ModelSource::Known(known));
            if let Some(repository) = known.repository {
                assert_eq!(hub(&format!("hf:{repository}")).repository(), repository);
            }
        }
        for path in [
            "models/clip-nano",
            "./clip-nano",
            "clip-nano/",
            "Clip-Nano",
            "clip-nano ",
            "/",
            ".",
            "..",
            "../x",
            "C:\\models\\x",
            "hf",
            "HF:a/b",
            " hf:a/b",
            "./hf:a/b",
            "a@b",
            "ViT-B-32.pt",
            "模型",
        ] {
            assert_eq!(path.parse::<ModelSource>().unwrap(), ModelSource::Local(path.into()));
        }
        for text in ["", "https://huggingface.co/openai/clip-vit-base-patch32", "http://x"] {
            assert!(matches!(text.parse::<ModelSource>(), Err(HubError::Source { .. })), "{text}");
        }
    }
}
