//! The tokens declared by the small files beside a vocabulary, read as in `transformers` 5
//! (`PreTrainedTokenizerBase._from_pretrained`).

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};
use tokenizers::AddedToken;

use crate::ClipError;
use crate::files::read_object;

pub(super) const CONFIG: &str = "tokenizer_config.json";
const SPECIAL: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";

/// The names of tokens, in the order in which `transformers` adds them.
pub(super) const NAMES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The declarations of the files.
#[derive(Debug, Default)]
pub(super) struct Declared {
    /// Tokens by name, such as `bos_token`.
    pub(super) named: Vec<(String, AddedToken)>,
    /// Tokens by id, the smallest first.
    pub(super) added: Vec<(u32, AddedToken)>,
    /// The file that gives the ids.
    pub(super) source: PathBuf,
    /// Tokens listed by a `tokenizer.json`, if its class keeps them.
    pub(super) listed: Vec<(u32, AddedToken)>,
    /// Special tokens without a name.
    pub(super) extra: Vec<AddedToken>,
    /// The most tokens of a text.
    pub(super) longest: Option<usize>,
    /// Whether special tokens in a text are treated as ordinary text.
    pub(super) split_special: bool,
    /// The tokenizer's class, if it is not CLIP's.
    pub(super) other_class: Option<String>,
    /// Whether upper case is kept.
    pub(super) cased: bool,
}

/// A token in a file; omitted fields have the defaults of `tokenizers.AddedToken`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    normalized: Option<bool>,
    #[serde(default)]
    special: bool,
    id: Option<u32>,
    #[serde(rename = "__type")]
    _kind: Option<String>,
}

impl Token {
    fn parse(value: &Value) -> Result<Self, String> {
        serde_path_to_error::deserialize(value).map_err(|error| format!("no token: {error}"))
    }

    fn token(self) -> AddedToken {
        AddedToken::from(self.content, self.special)
            .single_word(self.single_word)
            .lstrip(self.lstrip)
            .rstrip(self.rstrip)
            .normalized(self.normalized.unwrap_or(!self.special))
    }
}

/// A token that may be given as text alone, which makes it special.
fn special(value: &Value) -> Result<AddedToken, String> {
    match value {
        Value::String(content) => Ok(AddedToken::from(content.clone(), true)),
        other => Token::parse(other).map(Token::token),
    }
}

impl Declared {
    /// Reads the files; `whole` is the path and content of a `tokenizer.json`, if the folder has one.
    pub(super) fn read(folder: &Path, whole: Option<(&Path, &Value)>) -> Result<Self, ClipError> {
        let path = folder.join(CONFIG);
        let config = object(&path)?;
        let mut declared =
            Self::from_config(&config).map_err(|problem| ClipError::file(&path, problem))?;
        if config.contains_key("added_tokens_decoder") {
            declared.source = path;
        } else {
            declared.read_older(folder, whole)?;
        }
        declared.added.sort_by_key(|&(id, _)| id);
        // A name may refer to a token that is described elsewhere.
        for (_, token) in &mut declared.named {
            let described =
                declared.added.iter().rfind(|(_, added)| added.content == token.content);
            if let Some((_, described)) = described {
                *token = described.clone();
            }
        }
        Ok(declared)
    }

    fn from_config(config: &Map<String, Value>) -> Result<Self, String> {
        let mut declared = Self::default();
        for (name, value) in config {
            declared.take(name, value).map_err(|problem| format!("{name}: {problem}"))?;
        }
        if let Some(decoder) = config.get("added_tokens_decoder") {
            let tokens = decoder.as_object().ok_or("added_tokens_decoder: no object of tokens")?;
            for (id, token) in tokens {
                let wrong = |problem: String| format!("added_tokens_decoder: {id:?}: {problem}");
                let number = id.parse().map_err(|error| wrong(format!("no id: {error}")))?;
                declared.added.push((number, Token::parse(token).map_err(wrong)?.token()));
            }
        }
        Ok(declared)
    }

    /// Reads a field of `tokenizer_config.json`, or of `special_tokens_map.json`.
    fn take(&mut self, name: &str, value: &Value) -> Result<(), String> {
        let flag = || match value {
            Value::Null => Ok(false),
            other => other.as_bool().ok_or_else(|| format!("{other}; expected true or false")),
        };
        match name {
            "additional_special_tokens" | "extra_special_tokens" => match value {
                Value::Null => {}
                Value::Array(tokens) => {
                    for token in tokens {
                        let token = special(token)?;
                        if !self.extra.contains(&token) {
                            self.extra.push(token);
                        }
                    }
                }
                Value::Object(tokens) => {
                    for (name, token) in tokens {
                        self.name(name, special(token)?);
                    }
                }
                other => return Err(format!("{other}; expected a list of tokens")),
            },
            "model_max_length" | "max_len" if !value.is_null() => {
                let longest = value.as_f64().filter(|&most| most >= 2.0);
                // As a number, "no limit" is 1e30.
                self.longest = Some(longest.ok_or_else(|| {
                    format!("{value}; expected a number of tokens that has room for start and end")
                })? as usize);
            }
            "padding_side" | "truncation_side"
                if !matches!(value.as_str(), None | Some("right")) =>
            {
                return Err(format!("{value}; only \"right\" is supported"));
            }
            "do_lower_case" => self.cased = !value.is_null() && !flag()?,
            "split_special_tokens" => self.split_special = flag()?,
            "tokenizer_class" => {
                let clip = |class: &&str| matches!(*class, "CLIPTokenizer" | "CLIPTokenizerFast");
                self.other_class = value.as_str().filter(|class| !clip(class)).map(str::to_owned);
            }
            "bos_token" | "eos_token" if value.is_null() => {
                return Err("null; CLIP's texts begin and end with a token".into());
            }
            _ if NAMES.contains(&name) && value.is_null() => {}
            _ if NAMES.contains(&name) || name.ends_with("_token") && value.is_string() => {
                self.name(name, special(value)?);
            }
            _ => {}
        }
        Ok(())
    }

    /// Assigns `name` to this token, replacing an earlier assignment.
    fn name(&mut self, name: &str, token: AddedToken) {
        match self.named.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = token,
            None => self.named.push((name.to_owned(), token)),
        }
        order(&mut self.named);
    }

    /// Reads the files from before `added_tokens_decoder`.
    fn read_older(
        &mut self,
        folder: &Path,
        whole: Option<(&Path, &Value)>,
    ) -> Result<(), ClipError> {
        let path = folder.join(SPECIAL);
        for (name, value) in &object(&path)? {
            let mut value = value.clone();
            if let Some(token) = value.as_object_mut().filter(|_| name != "extra_special_tokens") {
                token.insert("special".into(), true.into());
            }
            self.take(name, &value)
                .map_err(|problem| ClipError::file(&path, format!("{name}: {problem}")))?;
        }
        let path = folder.join(ADDED);
        for (content, id) in object(&path)? {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| {
                ClipError::file(&path, format!("{content:?} has the id {id}; expected a number"))
            })?;
            let mut known = self.named.iter().map(|(_, token)| token).chain(&self.extra);
            let special = known.any(|token| token.content == content);
            self.added.push((id, AddedToken::from(content, special)));
        }
        self.source = path;
        if let Some((path, document)) = whole {
            for token in listed(document).map_err(|problem| ClipError::file(path, problem))? {
                self.added.retain(|&(id, _)| id != token.0);
                self.added.push(token);
            }
            self.source = path.to_owned();
        }
        Ok(())
    }
}

/// Sorts tokens into the order in which `transformers` adds them.
pub(super) fn order(named: &mut [(String, AddedToken)]) {
    let place = |name: &str| NAMES.iter().position(|known| *known == name).unwrap_or(NAMES.len());
    named.sort_by_key(|(name, _)| place(name));
}

/// The tokens that a `tokenizer.json` lists beside its vocabulary.
pub(super) fn listed(document: &Value) -> Result<Vec<(u32, AddedToken)>, String> {
    let tokens = match document.get("added_tokens") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(tokens)) => tokens,
        Some(_) => return Err("added_tokens: no list of tokens".into()),
    };
    let wrong = |problem: String| format!("added_tokens: {problem}");
    let parse = |token: &Value| {
        let token = Token::parse(token).map_err(wrong)?;
        let id = token.id.ok_or_else(|| wrong(format!("{:?} has no id", token.content)))?;
        Ok((id, token.token()))
    };
    tokens.iter().map(parse).collect()
}

fn object(path: &Path) -> Result<Map<String, Value>, ClipError> {
    if path.exists() { read_object(path) } else { Ok(Map::new()) }
}
