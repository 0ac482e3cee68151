//! What burn calls a parameter against what Hugging Face's files call it.

/// The path of the module tree that a visitor is at.
#[derive(Default)]
pub(super) struct Names {
    path: Vec<(String, String)>,
}

impl Names {
    pub(super) fn enter(&mut self, name: &str, container: &str) {
        self.path.push((name.to_owned(), container.to_owned()));
    }

    pub(super) fn exit(&mut self) {
        self.path.pop();
    }

    /// The parameter's name in the files. Adapters have none: they travel in their own file.
    pub(super) fn in_file(&self) -> Option<String> {
        let (field, container) = self.path.last()?;
        let field = match (field.as_str(), container.as_str()) {
            ("gamma", "Struct:LayerNorm") => "weight",
            ("beta", "Struct:LayerNorm") => "bias",
            ("lora_a" | "lora_b", _) => return None,
            (other, _) => other,
        };
        let above = self.path[..self.path.len() - 1].iter().map(|(name, _)| name.as_str());
        Some(above.chain([field]).collect::<Vec<_>>().join("."))
    }

    /// Whether the files hold the transpose: PyTorch keeps a linear layer's weight as
    /// `[output, input]`, burn as `[input, output]`.
    pub(super) fn is_transposed(&self) -> bool {
        self.path
            .last()
            .is_some_and(|(field, container)| field == "weight" && container == "Struct:LoraLinear")
    }
}
