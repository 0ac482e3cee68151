//! Experiments included in flora.

use crate::{Experiment, TuningError};

/// A named experiment.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// The name for `flora run`.
    pub name: &'static str,
    /// Its TOML file, with comments.
    pub toml: &'static str,
}

/// All presets, simplest first.
pub const PRESETS: [Preset; 8] = [
    Preset { name: "quickstart", toml: include_str!("../presets/quickstart.toml") },
    Preset { name: "recommended", toml: include_str!("../presets/recommended.toml") },
    Preset { name: "fashion-mnist-iid", toml: include_str!("../presets/fashion-mnist-iid.toml") },
    Preset {
        name: "fashion-mnist-dirichlet",
        toml: include_str!("../presets/fashion-mnist-dirichlet.toml"),
    },
    Preset { name: "paper", toml: include_str!("../presets/paper.toml") },
    Preset { name: "paper-fast", toml: include_str!("../presets/paper-fast.toml") },
    Preset { name: "fl2ora", toml: include_str!("../presets/fl2ora.toml") },
    Preset { name: "clip-lora", toml: include_str!("../presets/clip-lora.toml") },
];

impl Preset {
    /// The preset of this name.
    pub fn find(name: &str) -> Option<Self> {
        PRESETS.into_iter().find(|preset| preset.name == name)
    }

    /// The description: the comment at the head of its file, as one paragraph.
    pub fn description(&self) -> String {
        let comment = self.toml.lines().map_while(|line| line.strip_prefix('#'));
        comment.map(str::trim).collect::<Vec<_>>().join(" ")
    }

    /// The experiment, after `--set` assignments.
    ///
    /// # Errors
    ///
    /// An assignment that does not fit, by field.
    pub fn experiment(&self, assignments: &[String]) -> Result<Experiment, TuningError> {
        Experiment::from_toml(&format!("preset {}", self.name), self.toml, assignments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Implementation, TrainingConfig};

    #[test]
    fn every_preset_is_an_experiment_of_its_name() {
        for preset in PRESETS {
            assert_eq!(preset.experiment(&[]).unwrap().name, preset.name);
            assert!(!preset.description().is_empty());
        }
        assert!(Preset::find("nothing").is_none());
    }

    #[test]
    fn the_papers_presets_differ_in_the_path_alone() {
        let paper = Preset::find("paper").unwrap().experiment(&[]).unwrap();
        let mut fast = Preset::find("paper-fast").unwrap().experiment(&[]).unwrap();
        assert_eq!(
            (paper.method.implementation, fast.method.implementation),
            (Implementation::Naive, Implementation::Fast)
        );
        (fast.name, fast.method.implementation) = (paper.name.clone(), Implementation::Naive);
        assert_eq!(fast, paper);
        assert_eq!(paper.training, TrainingConfig::default());
        assert_eq!(paper.method.lora, flora_lora::LoraConfig::default());
    }
}
