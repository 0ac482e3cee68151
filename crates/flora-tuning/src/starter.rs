//! A starter experiment for a folder of one's own images.

use std::path::Path;

use flora_data::Discovery;
use toml::Value;

use crate::experiment::is_plain_name;

/// The model included in flora.
const SHIPPED: &str = "clip-nano";
/// The protocol for images without a split.
const PROTOCOL: &str = "stratified-80-20:7";
/// Maximum number of clients for images without sites.
const MOST_CLIENTS: usize = 4;
/// Minimum number of images that such a client should have.
const IMAGES_PER_CLIENT: usize = 20;

/// A starter experiment for the images found in a folder, as TOML with comments. `description` is the path of the data
/// set's description, and `model` the value of `model.path`; by default, the included model.
pub fn starter_experiment(found: &Discovery, description: &Path, model: Option<&str>) -> String {
    let model = model.unwrap_or(SHIPPED);
    let ships = Path::new(model).file_name().is_some_and(|name| name == SHIPPED);
    let name = if is_plain_name(&found.name) { found.name.as_str() } else { "images" };
    format!(
        r#"# Federated fine-tuning of CLIP, to start from. Every key is explained in docs/settings.md;
# `--set KEY=VALUE` changes one for a single run, as in `--set training.rounds=20`.
name = {name}
# Repeat a run with other seeds to see how much its result varies.
seed = 0

[model]
{about_model}path = {model}

[data]
path = {description}
{split}
# To choose settings, hold out a tenth of the training images and score the rounds on them; use the test images
# only once, at the end:
# validation = 0.1

# How the images are split across clients.
[partition]
{partition}

# FLoRA trains adapters of the text tower. Where every class has images, try the method of the preset
# `recommended` first, which takes one round and no training: `--set method.name=lda`.
[method]
name = "flora"
# Cross-entropy over all classes: raises the score of an image's own class above the others.
loss = "class-ce"

[method.lora]
# The rank of the adapters, which sets their size. Their output is scaled by lora_alpha; with
# `scaling = "standard"`, by lora_alpha / r.
r = 4
lora_alpha = 8.0

[training]
# How often the clients train and the server averages their adapters.
rounds = 10
# Passes of a client over its images in each round.
local_epochs = 1
# Images per step; a smaller batch takes less memory.
batch_size = 32
# By default, every image has the same weight. This gives every class of a client the same weight (not with lda,
# which has no training steps):
# class_weights = "balanced"
# If the accuracy falls, it is too high; if the accuracy hardly changes, it is too low. Try a third, and three times
# as much.
learning_rate = {learning_rate}
weight_decay = 0.0
"#,
        name = quoted(name),
        about_model = if ships { ABOUT_SHIPPED } else { "" },
        model = quoted(model),
        description = quoted(&description.to_string_lossy()),
        split = split(found),
        partition = partition(found),
        learning_rate = if ships { "1e-3" } else { "2e-4" },
    )
}

const ABOUT_SHIPPED: &str = "\
# clip-nano ships with flora. It is small and was trained on drawings only. To classify photographs,
# get \"vit-base-patch32\" (docs/models.md), and set learning_rate below to 2e-4.
";

fn split(found: &Discovery) -> String {
    if found.has_split() {
        return "# The split of the data set: its test images are not used for training.\nprotocol = \"official\"".to_owned();
    }
    format!(
        "# A fifth of the images of every class and site is held out for testing; the number after the colon\n\
         # is the seed.\nprotocol = {}",
        quoted(PROTOCOL)
    )
}

fn partition(found: &Discovery) -> String {
    if found.has_clients() {
        return "# Every site is a client.\nkind = \"natural\"".to_owned();
    }
    let images = found.images();
    let train = images.train + images.unsplit - images.unsplit.div_ceil(5);
    // A federation needs more than one client.
    let clients = (train / IMAGES_PER_CLIENT).clamp(2, MOST_CLIENTS).min(train.max(1));
    format!(
        "# The files do not say who holds which images, so they are partitioned at random. With kind = \
         \"dirichlet\" and\n\
         # beta = 0.5 besides, the clients have different classes (docs/datasets.md).\n\
         kind = \"iid\"\nclients = {clients}"
    )
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use flora_data::{DiscoverOptions, PartitionConfig, Protocol, discover};

    use super::*;
    use crate::{ClassWeights, Experiment, LossKind};

    fn starter(images: &[&str], model: Option<&str>) -> Experiment {
        let text = written(images, model);
        Experiment::from_toml("starter", &text, &[])
            .unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn written(images: &[&str], model: Option<&str>) -> String {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("my \"own\"");
        for image in images {
            std::fs::create_dir_all(root.join(image)).unwrap();
            std::fs::write(root.join(image).join("1.png"), "not looked into").unwrap();
        }
        let found = discover(&root, &DiscoverOptions::default()).unwrap();
        starter_experiment(&found, Path::new("/a \"b\"/c.toml"), model)
    }

    #[test]
    fn it_is_an_experiment() {
        let classes = starter(&["cat", "dog"], None);
        assert_eq!((classes.name.as_str(), classes.model.path.as_str()), ("my--own", "clip-nano"));
        assert_eq!(classes.data.path, Path::new("/a \"b\"/c.toml"));
        // Of two images one is for testing. More images make a federation.
        assert_eq!(classes.partition, PartitionConfig::Iid { clients: 1 });
        let more = starter(&["cat", "dog", "fox"], None);
        assert_eq!(more.partition, PartitionConfig::Iid { clients: 2 });
        assert_eq!(classes.data.protocol.to_string(), PROTOCOL);
        assert_eq!(classes.method.loss(), LossKind::ClassCe);
        assert_eq!(classes.training.class_weights, ClassWeights::None);

        let sites = ["site1/cat", "site1/dog", "site2/cat", "site2/dog"];
        let sites = starter(&sites, Some("hf:openai/clip-vit-base-patch32"));
        assert_eq!(sites.partition, PartitionConfig::Natural {});
        assert_eq!(sites.training.learning_rate, 2e-4);
        let split = starter(&["train/cat", "train/dog", "test/cat", "test/dog"], None);
        assert_eq!(split.data.protocol, Protocol::Official);
    }

    #[test]
    fn what_its_comments_propose_goes_with_the_rest() {
        let text = written(&["cat", "dog"], None);
        assert!(text.contains("--set method.name=lda"));
        let with = |text: &str, set: &str| {
            Experiment::from_toml("starter", text, &[set.to_owned()])
                .map_err(|error| error.to_string())
        };
        for name in ["lda", "ridge", "gda", "ncm"] {
            with(&text, &format!("method.name={name}")).unwrap();
        }
        let all = text.replace("# validation", "validation").replace("# class_", "class_");
        let all = with(&all, "seed=1").unwrap();
        assert_eq!(all.training.class_weights, ClassWeights::Balanced);
        assert!(!all.data.validation.is_zero());
    }
}
