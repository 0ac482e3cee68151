//! Zero-shot classification with `flora::clip` alone:
//!
//! ```sh
//! cargo run --release -p flora --example zero_shot -- models/clip-nano cat.png cat dog car
//! ```

use flora::clip::{Embedder, read_image};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let device = flora::device::take_from(&mut arguments)?;
    let [model, image, classes @ ..] = &arguments[..] else {
        return Err("usage: zero_shot [--device NAME] MODEL IMAGE CLASS...".into());
    };
    let embedder = Embedder::open(model.as_ref(), &device)?;
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
