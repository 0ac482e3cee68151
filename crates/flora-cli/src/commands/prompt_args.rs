use std::path::PathBuf;

use flora::data::Template;
use flora::inference::read_lines;

use crate::failure::Failure;

/// The prompts of the classes.
#[derive(Debug, clap::Args)]
pub(crate) struct PromptArgs {
    /// A prompt template, with {} for the class; several form an ensemble
    #[arg(long = "template", value_name = "TEXT")]
    template: Vec<String>,
    /// A file of prompt templates, one per line, which form an ensemble
    #[arg(long, value_name = "FILE")]
    templates: Option<PathBuf>,
}

impl PromptArgs {
    /// An error with this `reason` if any template was given.
    pub(crate) fn refuse(&self, reason: &str) -> Result<(), Failure> {
        if self.template.is_empty() && self.templates.is_none() {
            return Ok(());
        }
        Err(Failure::Input(format!("--template: {reason}; leave it out")))
    }

    /// The given templates, or this default.
    pub(crate) fn templates(&self, otherwise: &Template) -> Result<Vec<Template>, Failure> {
        let mut texts: Vec<(String, String)> =
            self.template.iter().map(|text| ("--template".to_owned(), text.clone())).collect();
        if let Some(path) = &self.templates {
            let lines = read_lines(path).map_err(Failure::input)?;
            texts.extend(lines.into_iter().map(|line| (path.display().to_string(), line)));
        }
        if texts.is_empty() {
            return Ok(vec![otherwise.clone()]);
        }
        let template = |(place, text): (String, String)| {
            Template::new(&text).map_err(|error| Failure::Input(format!("{place}: {error}")))
        };
        texts.into_iter().map(template).collect()
    }
}
