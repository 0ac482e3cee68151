//! Zero-shot classification with the crate `flora-clip` alone:
//!
//! ```sh
//! cargo run --release -p flora-clip --example zero_shot -- models/clip-nano cat.png cat dog car
//! ```

use burn::tensor::Device;
use flora_clip::{Embedder, read_image};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(image)) = (arguments.next(), arguments.next()) else {
        return Err("usage: zero_shot MODEL IMAGE CLASS...".into());
    };
    let classes: Vec<String> = arguments.collect();
    let embedder = Embedder::open(model.as_ref(), &Device::flex())?;
    let prompts: Vec<_> =
        classes.iter().map(|class| vec![format!("a photo of a {class}.")]).collect();
    let classifier = embedder.classifier(&prompts)?;
    let image = embedder.images(&[read_image(image.as_ref())?])?;
    let probabilities = classifier.probabilities(image).into_data().try_into_vec::<f32>()?;
    for (class, probability) in classes.iter().zip(probabilities) {
        println!("{class}: {:.1} %", 100.0 * probability);
    }
    Ok(())
}
