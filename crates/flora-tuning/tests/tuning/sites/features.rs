//! The features of an image do not depend on the others in its batch.

use super::*;

/// An image has the same features whatever other images there are.
#[test]
fn features_do_not_depend_on_the_other_images() {
    let device = Device::flex();
    let workers = Workers::new(2).unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/clip-nano");
    let whole = Dataset::open(&emoji_vendors().join("emoji-vendors.toml"), None).unwrap();
    // Enough batches, and a last one of another size.
    let parts: Vec<_> = whole
        .domains()
        .iter()
        .map(|name| whole.clone().with_domain(name).unwrap().only(Split::Test))
        .collect();
    for path in [tiny_clip(), model] {
        let checkpoint = Checkpoint::open(&path).unwrap();
        let features = |dataset: &Dataset| {
            let load = || checkpoint.load(&device);
            let quiet = &mut |_| {};
            checkpoint_features(&checkpoint, load, &device, dataset, None, &workers, quiet).unwrap()
        };
        let together = whole.clone().only(Split::Test);
        let rows = features(&together);
        let name = |dataset: &Dataset, i: usize| dataset.describe(i);
        let row = |rows: &flora_data::FeatureRows, i: usize| -> Vec<u32> {
            rows.gather(&[i]).unwrap().into_iter().map(f32::to_bits).collect()
        };
        let by_name: BTreeMap<_, _> =
            (0..together.len()).map(|i| (name(&together, i), row(&rows, i))).collect();
        for part in &parts {
            let rows = features(part);
            // One image more than a whole batch.
            let some = Limit { train: None, test: Some(33) };
            let fewer = part.clone().limit(some, 0);
            let last = features(&fewer);
            assert!(by_name[&name(&fewer, 32)] == row(&last, 32), "{}", name(&fewer, 32));
            for i in 0..part.len() {
                assert!(by_name[&name(part, i)] == row(&rows, i), "{}", name(part, i));
            }
        }
    }
}

/// The possible sizes of a last batch. A single image goes through the tower twice, because a product with a single row
/// uses another kernel.
#[test]
fn a_batch_of_any_size_has_the_features_of_a_whole_one() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/clip-nano");
    let whole = Dataset::open(&emoji_vendors().join("emoji-vendors.toml"), None).unwrap();
    let pictures: Vec<_> = (0..32).map(|i| whole.image(i * 100).unwrap()).collect();
    for path in [tiny_clip(), model] {
        let checkpoint = Checkpoint::open(&path).unwrap();
        let clip = checkpoint.load(&Device::flex()).unwrap();
        let batch = checkpoint.preprocessor.batch(&pictures, &Device::flex()).unwrap();
        assert_eq!(other_sizes(&clip, batch, 2..32), [], "{}", path.display());
    }
}

#[test]
#[ignore = "a model of full size takes half a minute"]
fn a_batch_of_a_full_sized_model_has_the_features_of_a_whole_one() {
    let config = ClipConfig::vit_base_patch32();
    let clip = Clip::random(&config, 1, &Device::flex());
    let size = config.vision_config.image_size;
    let values = (0..32 * 3 * size * size).map(|i| (i as f32 * 0.7).sin()).collect();
    let data = TensorData::new(values, [32, 3, size, size]);
    let batch = Tensor::from_data(data, &Device::flex());
    assert_eq!(other_sizes(&clip, batch, [2, 3, 5, 8, 19, 31]), []);
}

/// The first and last images of a batch whose features differ without the rest of the batch: how many they are, and
/// where they begin.
fn other_sizes(
    clip: &Clip,
    batch: Tensor<4>,
    sizes: impl IntoIterator<Item = usize>,
) -> Vec<(usize, usize)> {
    let features = |start: usize, size: usize| -> Vec<u32> {
        let part = batch.clone().narrow(0, start, size);
        let values = single_threaded(|| clip.image_features(part.clone()).into_data());
        values.try_into_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    };
    let whole = features(0, 32);
    let width = whole.len() / 32;
    let mut others = Vec::new();
    for size in sizes {
        for start in [0, 32 - size] {
            let expected = &whole[start * width..(start + size) * width];
            others.extend((features(start, size)[..] != *expected).then_some((size, start)));
        }
    }
    others
}
