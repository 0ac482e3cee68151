//! All clients share one backbone.

use burn::module::Module;
use burn::tensor::Device;
use flora_clip::{Checkpoint, Clip, ClipConfig, ClipTokenizer, Preprocessor};
use flora_core::Dtype;
use flora_federation::Event;
use flora_tuning::{Observer, prepare};

use crate::common::Images;

/// Bytes of this process in memory, at the end of every evaluation.
#[derive(Default)]
struct Meter(Vec<usize>);

impl Observer for Meter {
    fn event(&mut self, event: &Event) {
        if matches!(event, Event::Evaluated { .. }) {
            self.0.push(resident());
        }
    }
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn twelve_clients_take_the_memory_of_one_model() {
    let images = Images::new(1, 1);
    let (config, device) = (ClipConfig::clip_nano(), Device::flex());
    let model = images.path().join("model");
    let random = Clip::random(&config, 1, &device);
    let tokenizer = ClipTokenizer::openai(&config.text_config).unwrap();
    let preprocessor = Preprocessor::new(&config.vision_config);
    Checkpoint::save(&model, &random, &config, &tokenizer, &preprocessor, Dtype::F32).unwrap();
    let size = 4 * random.num_params();
    assert!(size > 20_000_000, "large enough to stand out: {size}");
    drop(random);

    let experiment = images.experiment(&[
        &format!("model.path={}", model.display()),
        "partition={ kind = 'iid', clients = 12 }",
        "method.lora.towers=both",
        "method.loss=class-ce",
    ]);
    let before = resident();
    let mut meter = Meter::default();
    let finished = prepare(experiment, &device, &mut meter).unwrap().run(&mut meter);
    assert!(finished.failure.is_none());
    // Includes the file while it is read, activations and other tests.
    let most = meter.0.iter().map(|now| now.saturating_sub(before)).max().unwrap();
    assert!(most < 4 * size, "{most} bytes for 12 clients of a model of {size}");
}
