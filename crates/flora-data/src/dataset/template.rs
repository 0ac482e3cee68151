//! The prompt template of a data set.

use crate::Error;

/// A prompt with a placeholder for the class name, as in `a photo of a {}.`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

impl Template {
    /// CLIP's prompt for natural photographs.
    pub const PHOTO: &str = "a photo of a {}.";

    /// Checks a template.
    ///
    /// # Errors
    ///
    /// [`Error::Template`] if there is no `{}`: every class would get the same prompt.
    pub fn new(template: impl Into<String>) -> Result<Self, Error> {
        let template = template.into();
        if template.contains("{}") { Ok(Self(template)) } else { Err(Error::Template { template }) }
    }

    /// The template with every `{}` replaced by `class`.
    pub fn fill(&self, class: &str) -> String {
        self.0.replace("{}", class)
    }

    /// The template's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_name_fills_the_template() {
        let template = Template::new("a photo of a {}, a type of pet.").unwrap();
        assert_eq!(template.fill("tabby cat"), "a photo of a tabby cat, a type of pet.");
    }

    #[test]
    fn a_template_without_a_place_is_refused() {
        for bad in ["", "a photo.", "a photo of a {class}."] {
            let message = Template::new(bad).unwrap_err().to_string();
            assert!(message.contains("`{}`"), "{message}");
        }
    }
}
