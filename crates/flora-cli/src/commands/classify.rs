use std::path::PathBuf;

use flora::clip::{Checkpoint, ZeroShot};
use flora::data::{Template, read_image};

use crate::failure::Failure;
use crate::output;

/// Say what images show, without training: zero-shot classification
#[derive(Debug, clap::Args)]
pub(crate) struct Classify {
    /// The classes to choose from
    #[arg(long, value_name = "A,B,C", value_delimiter = ',', required = true)]
    labels: Vec<String>,
    /// The images
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// Folder of a checkpoint in Hugging Face's layout
    #[arg(long, value_name = "DIR", default_value = "models/clip-nano")]
    model: PathBuf,
    /// The prompt, with {} for the class
    #[arg(long, value_name = "TEXT", default_value = "a photo of a {}.")]
    template: String,
    /// How many classes to show, the most likely first
    #[arg(long, value_name = "K", default_value = "3", value_parser = at_least_one)]
    top: usize,
    /// Where to compute
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    device: String,
}

impl Classify {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let device = flora::device::parse(&self.device).map_err(Failure::input)?;
        let template = Template::new(&self.template)
            .map_err(|error| Failure::Input(format!("--template: {error}")))?;
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = self.labels.iter().find(|label| !seen.insert(label.trim())) {
            return Err(Failure::Input(format!("--labels: {:?} is there twice", twice.trim())));
        }
        if let Some(empty) = self.labels.iter().position(|label| label.trim().is_empty()) {
            let problem = format!("--labels: number {} is empty", empty + 1);
            return Err(Failure::Input(problem));
        }
        let folder = flora::tuning::assets::find(&self.model).map_err(Failure::input)?;
        let checkpoint = Checkpoint::open(&folder).map_err(Failure::input)?;
        let model = checkpoint.load(&device).map_err(Failure::input)?;
        let prompts: Vec<_> = self.labels.iter().map(|label| template.fill(label.trim())).collect();
        let config = &checkpoint.config.text_config;
        let classifier = ZeroShot::new(&model, &checkpoint.tokenizer, config, &prompts)
            .map_err(Failure::input)?;

        let mut rows = Vec::new();
        let mut unusable = Vec::new();
        for path in &self.images {
            let pixels = read_image(path).map_err(|error| error.to_string()).and_then(|image| {
                let pixels = checkpoint.preprocessor.batch(&[image], &device);
                pixels.map_err(|error| format!("{}: {error}", path.display()))
            });
            // The other images are classified all the same.
            let pixels = match pixels {
                Ok(pixels) => pixels,
                Err(error) => {
                    unusable.push(error);
                    continue;
                }
            };
            let probabilities = classifier.probabilities(model.image_features(pixels));
            let probabilities = probabilities.into_data().convert::<f32>();
            let probabilities = probabilities.try_into_vec::<f32>().map_err(Failure::run)?;
            let mut ranked: Vec<_> = probabilities.into_iter().zip(&self.labels).collect();
            ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
            let shown = ranked.iter().take(self.top);
            let shown: Vec<_> = shown
                .map(|(share, label)| format!("{} {:.1} %", label.trim(), 100.0 * share))
                .collect();
            rows.push([path.display().to_string(), shown.join(", ")]);
        }
        output::table(["image", "most likely"], rows);
        if unusable.is_empty() { Ok(()) } else { Err(Failure::Input(unusable.join("\nerror: "))) }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected 1 or more".into()),
        Ok(number) => Ok(number),
    }
}
