//! Writes the description of a data set, with comments for people.

use std::fmt::Write;

use toml::Value;

use flora_core::text::printable;

use super::Discovery;
use super::found::{Layout, TablePart};
use super::rows::TableKind;
use crate::Template;

impl Discovery {
    /// The description, as TOML with comments; `None` for a folder that has one. Paths in it are absolute, so that the
    /// file may be stored anywhere.
    pub fn description(&self) -> Option<String> {
        let layout = match &self.layout {
            Layout::Folders { root, pattern, splits, ignore } => {
                let mut text = "# Where the images are. `pattern` gives the meaning of the folders below `root`.\n\
                                [layout]\nkind = \"image-folder\"\n"
                    .to_owned();
                line(&mut text, "root", &root.to_string_lossy());
                line(&mut text, "pattern", &pattern.to_string());
                if let Some((train, test)) = splits {
                    let (train, test) = (list(train), list(test));
                    text += &format!(
                        "# The folders of the split; other folders are ignored.\nsplits = {{ train = {train}, test = {test} }}\n"
                    );
                }
                if !ignore.is_empty() {
                    text += &format!(
                        "# Folders without images.\nignore = {}\n",
                        Value::from(ignore.clone())
                    );
                }
                text
            }
            Layout::Tables { root, parts } => {
                let mut text =
                    "# Where the images are. Names in braces are columns of the table.\n[layout]\n"
                        .to_owned();
                match &parts[..] {
                    [train, test] if train.reads_like(test) => {
                        train.head(&mut text);
                        line(&mut text, "root", &root.to_string_lossy());
                        line(&mut text, "train", &train.file);
                        line(&mut text, "test", &test.file);
                        train.body(&mut text);
                    }
                    [train, test] => {
                        text += "kind = \"by-split\"\n";
                        line(&mut text, "root", &root.to_string_lossy());
                        for (name, part) in [("train", train), ("test", test)] {
                            text += &format!("\n[layout.{name}]\n");
                            part.head(&mut text);
                            line(&mut text, "files", &part.file);
                            part.body(&mut text);
                        }
                    }
                    parts => {
                        for part in parts {
                            part.head(&mut text);
                            line(&mut text, "root", &root.to_string_lossy());
                            line(&mut text, "files", &part.file);
                            part.body(&mut text);
                        }
                    }
                }
                text
            }
            Layout::Described(_) => return None,
        };
        let mut text =
            format!("# What `flora init` found in {}\n", printable(&self.folder.to_string_lossy()));
        text += "# Every key is explained in docs/datasets.md.\n";
        line(&mut text, "name", &self.name);
        text += "# The prompt: a sentence in which {} is replaced by the name of a class.\n\
                 # Name the kind of image, as in \"a chest X-ray showing {}.\"\n";
        line(&mut text, "template", Template::PHOTO);
        text += "\n# `name` is part of the prompt: use words that a caption would contain. `key` is the name in the files.\n\
                 classes = [\n";
        for class in &self.classes {
            let (name, key) = (quoted(&class.name), quoted(&class.key));
            let _ = writeln!(text, "    {{ name = {name}, key = {key} }},");
        }
        text += "]\n\n";
        text += &layout;
        Some(text)
    }
}

impl TablePart {
    fn reads_like(&self, other: &Self) -> bool {
        let parts = |part: &Self| {
            (
                part.kind,
                part.image.clone(),
                part.label.clone(),
                part.domain.clone(),
                part.split.clone(),
            )
        };
        parts(self) == parts(other)
    }

    fn head(&self, text: &mut String) {
        match self.kind {
            TableKind::Csv { separator } => {
                *text += "kind = \"csv\"\n";
                if separator != ',' {
                    line(text, "separator", &separator.to_string());
                }
            }
            TableKind::JsonLines => *text += "kind = \"json-lines\"\n",
        }
    }

    fn body(&self, text: &mut String) {
        line(text, "image", &self.image);
        line(text, "label", &self.label);
        if let Some(domain) = &self.domain {
            line(text, "domain", domain);
        }
        if let Some((column, train, test)) = &self.split {
            let (column, train, test) = (quoted(column), list(train), list(test));
            *text += &format!("split = {{ column = {column}, train = {train}, test = {test} }}\n");
        }
    }
}

fn line(text: &mut String, key: &str, value: &str) {
    let _ = writeln!(text, "{key} = {}", quoted(value));
}

/// A text in TOML syntax.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn list(names: &[String]) -> String {
    match names {
        [one] => quoted(one),
        names => Value::from(names.to_vec()).to_string(),
    }
}
