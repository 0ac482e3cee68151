//! The method of an experiment, and its loss.

use std::path::PathBuf;
use std::sync::Arc;

use flora_lora::LoraConfig;
use serde::{Deserialize, Serialize};

use crate::methods::{
    ClosedForm, ClosedFormConfig, FedAa, FedFft, FedLc, FedPrompt, FedVmLc, Flora, PromptConfig,
    ZeroShot,
};
use crate::{Method, MethodName, SoftmaxKind};

/// The method and its loss.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MethodConfig {
    /// The method.
    pub name: MethodName,
    /// The loss of a batch; by default [`Method::usual_loss`].
    pub loss: Option<LossKind>,
    /// The classes in a client's softmax of the loss `class-ce`.
    #[serde(skip_serializing_if = "SoftmaxKind::is_all")]
    pub softmax: SoftmaxKind,
    /// How the loss is computed.
    #[serde(alias = "path")]
    pub implementation: Implementation,
    /// The adapters of [`Flora`].
    pub lora: LoraConfig,
    /// The context of [`FedPrompt`].
    pub prompt: PromptConfig,
    /// For [`Flora`]: an adapter in PEFT's format to start from, from any source. Its configuration replaces `lora`.
    /// For [`ClosedForm`]: an adapter under the classifier, which then uses the features and texts of the adapted
    /// model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_adapter: Option<PathBuf>,
    /// Settings of [`ClosedForm`].
    #[serde(skip_serializing_if = "ClosedFormConfig::is_default")]
    pub closed_form: ClosedFormConfig,
    /// For [`Flora`]: a run of a closed-form method, or its `trained.safetensors`, whose classifier is used while the
    /// adapters are trained. Its logits are added to those of the prompts, in training and in prediction, and it is not
    /// trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<PathBuf>,
}

impl MethodConfig {
    /// The method, with its settings.
    pub fn method(&self) -> Arc<dyn Method> {
        match self.name {
            MethodName::Flora => Arc::new(Flora(self.lora.clone())),
            MethodName::FedFft => Arc::new(FedFft),
            MethodName::FedLc => Arc::new(FedLc),
            MethodName::FedVmLc => Arc::new(FedVmLc),
            MethodName::FedAa => Arc::new(FedAa),
            MethodName::FedPrompt => Arc::new(FedPrompt(self.prompt.clone())),
            MethodName::ZeroShot => Arc::new(ZeroShot),
            name @ (MethodName::Ridge | MethodName::Lda | MethodName::Gda | MethodName::Ncm) => {
                Arc::new(ClosedForm { name, settings: self.closed_form.clone() })
            }
        }
    }

    /// The loss of a batch.
    pub fn loss(&self) -> LossKind {
        self.loss.unwrap_or_else(|| self.method().usual_loss())
    }
}

/// The loss of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LossKind {
    /// CLIP's symmetric in-batch contrastive loss, used by the paper's experiments. Examples of one class are false
    /// negatives of each other.
    #[default]
    Infonce,
    /// Cross-entropy of the similarities to all class prompts against the label.
    ClassCe,
}

/// How the loss is computed. The results are the same up to rounding (and, with dropout, up to the random masks: an
/// input that is encoded once gets one mask).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Implementation {
    /// Frozen image features from a cache, each distinct prompt once, no padding.
    #[default]
    Fast,
    /// Every image and every example's prompt through its tower at every step, padded to the full context, as in the
    /// paper's code; for comparison.
    Naive,
}
