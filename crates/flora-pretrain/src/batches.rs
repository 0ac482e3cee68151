//! Batches of pairs, prepared in advance by a separate thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::tensor::Device;
use flora_clip::Preprocessor;
use rand::RngExt;
use rayon::prelude::*;

use crate::augment::plain;
use crate::sampling::Sampler;
use crate::{Augmentation, PairSet};

/// Pictures and captions of one step, on the host.
#[derive(Debug, Clone)]
pub(crate) struct PairBatch {
    /// Normalised pixels, one picture after the other.
    pub(crate) pixels: Vec<f32>,
    /// The visible patches of each picture; `None` for all of them.
    pub(crate) kept: Option<Vec<Vec<usize>>>,
    /// The ids of each distinct caption, the shortest first.
    pub(crate) texts: Vec<Vec<u32>>,
    /// The caption of each picture, as an index in `texts`.
    pub(crate) text_of: Vec<usize>,
}

/// The data that batches are built from.
#[derive(Debug)]
pub(crate) struct PairSource {
    pub(crate) set: PairSet,
    pub(crate) preprocessor: Preprocessor,
    /// The ids of each distinct caption.
    pub(crate) captions: Vec<Vec<u32>>,
    /// The captions of each pair, as indices in `captions`.
    pub(crate) captions_of: Vec<Vec<usize>>,
    pub(crate) augmentation: Augmentation,
    pub(crate) patches: PatchDropout,
    pub(crate) seed: u64,
}

/// The visible patches of a training picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PatchDropout {
    /// Patches per picture.
    pub(crate) all: usize,
    /// The number of visible ones.
    pub(crate) kept: usize,
    /// The first pass in which all are visible.
    pub(crate) until: u64,
}

/// burn's loader over a part of the pairs.
pub(crate) struct PairLoader {
    source: Arc<PairSource>,
    order: Order,
    batch_size: usize,
    /// The number of passes through the loader: each pass has its own order and augmentation.
    passes: Arc<AtomicU64>,
}

/// The order of a loader.
#[derive(Clone)]
enum Order {
    /// Augmented pictures in a changing order; the last, incomplete batch of a pass would have fewer negatives and is
    /// left out.
    Training(Arc<Sampler>),
    /// Unchanged pictures.
    Fixed(Arc<Vec<usize>>),
}

impl PairLoader {
    /// The pairs drawn by `sampler`; the first `passed` passes count as done, for a resumed training.
    pub(crate) fn training(
        source: Arc<PairSource>,
        sampler: Sampler,
        batch_size: usize,
        passed: usize,
    ) -> Self {
        let passes = Arc::new((passed as u64).into());
        Self { source, order: Order::Training(Arc::new(sampler)), batch_size, passes }
    }

    /// These pairs, in this order.
    pub(crate) fn validation(
        source: Arc<PairSource>,
        indices: Vec<usize>,
        batch_size: usize,
    ) -> Self {
        let order = Order::Fixed(Arc::new(indices));
        Self { source, order, batch_size, passes: Arc::default() }
    }

    /// Steps per pass.
    pub(crate) fn steps(&self) -> usize {
        match &self.order {
            Order::Training(sampler) => sampler.per_pass() / self.batch_size,
            Order::Fixed(indices) => indices.len().div_ceil(self.batch_size),
        }
    }

    fn with_order(&self, order: Order) -> Self {
        let (source, passes) = (self.source.clone(), self.passes.clone());
        Self { source, order, batch_size: self.batch_size, passes }
    }
}

impl DataLoader<PairBatch> for PairLoader {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<PairBatch> + 'a> {
        let pass = self.passes.fetch_add(1, Ordering::Relaxed);
        let (order, pass) = match &self.order {
            Order::Training(sampler) => {
                let mut order = sampler.pass(pass);
                order.truncate(self.num_items());
                (order, Some(pass))
            }
            Order::Fixed(indices) => (indices.to_vec(), None),
        };
        let total = order.len();
        let (sender, batches) = sync_channel(2);
        let (source, size) = (self.source.clone(), self.batch_size);
        std::thread::spawn(move || {
            for chunk in order.chunks(size) {
                let batch = source.batch(chunk, pass);
                // The receiver is gone if the training was stopped.
                if sender.send((chunk.len(), batch)).is_err() {
                    break;
                }
            }
        });
        Box::new(PairIterator { batches, done: 0, total })
    }

    fn num_items(&self) -> usize {
        match &self.order {
            Order::Training(_) => self.steps() * self.batch_size,
            Order::Fixed(indices) => indices.len(),
        }
    }

    fn to_device(&self, _device: &Device) -> Arc<dyn DataLoader<PairBatch>> {
        // Batches are on the host: the model's step moves them.
        Arc::new(self.with_order(self.order.clone()))
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<PairBatch>> {
        // burn splits a loader for several devices; here there is one.
        let order = match &self.order {
            Order::Training(_) => self.order.clone(),
            Order::Fixed(indices) => Order::Fixed(Arc::new(indices[start..end].to_vec())),
        };
        Arc::new(self.with_order(order))
    }
}

struct PairIterator {
    batches: Receiver<(usize, Result<PairBatch, DatasetError>)>,
    done: usize,
    total: usize,
}

impl Iterator for PairIterator {
    type Item = Result<PairBatch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (items, batch) = self.batches.recv().ok()?;
        self.done += items;
        Some(batch)
    }
}

impl DataLoaderIterator<PairBatch> for PairIterator {
    fn progress(&self) -> Progress {
        Progress { items_processed: self.done, items_total: self.total, unit: Some("pairs".into()) }
    }
}

/// A picture as the model's input, and the index of its caption.
struct Example {
    pixels: Vec<f32>,
    kept: Option<Vec<usize>>,
    caption: usize,
}

impl PairSource {
    /// The pairs of `indices`: augmented with the random streams of a training pass, or unchanged.
    pub(crate) fn batch(
        &self,
        indices: &[usize],
        pass: Option<u64>,
    ) -> Result<PairBatch, DatasetError> {
        let examples = indices
            .par_iter()
            .map(|&index| self.example(index, pass))
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(DatasetError::new)?;
        let mut captions: Vec<usize> = examples.iter().map(|example| example.caption).collect();
        captions.sort_unstable_by_key(|&caption| (self.captions[caption].len(), caption));
        captions.dedup();
        let places: HashMap<usize, usize> =
            captions.iter().enumerate().map(|(place, &caption)| (caption, place)).collect();
        Ok(PairBatch {
            text_of: examples.iter().map(|example| places[&example.caption]).collect(),
            texts: captions.iter().map(|&caption| self.captions[caption].clone()).collect(),
            kept: examples.iter().map(|example| example.kept.clone()).collect(),
            pixels: examples.into_iter().flat_map(|example| example.pixels).collect(),
        })
    }

    fn example(&self, index: usize, pass: Option<u64>) -> std::io::Result<Example> {
        let pixels = self.set.image(index)?;
        let captions = &self.captions_of[index];
        let side = self.set.side();
        let mut example = match pass {
            Some(pass) => {
                let label = format!("pair {index} pass {pass}");
                let mut random = flora_core::seed::stream(self.seed, &label);
                let mono = self.set.pairs()[index].mono;
                let pixels = self.augmentation.apply(&pixels, side, mono, &mut random);
                let caption = captions[random.random_range(0..captions.len())];
                let PatchDropout { all, kept, until } = self.patches;
                let kept = (kept < all && pass < until).then(|| {
                    let mut kept = rand::seq::index::sample(&mut random, all, kept).into_vec();
                    kept.sort_unstable();
                    kept
                });
                Example { pixels, kept, caption }
            }
            None => Example { pixels: plain(&pixels, side), kept: None, caption: captions[0] },
        };
        let Preprocessor { image_mean, image_std, .. } = self.preprocessor;
        for (channel, plane) in example.pixels.chunks_mut(side * side).enumerate() {
            for value in plane {
                *value = (*value - image_mean[channel]) / image_std[channel];
            }
        }
        Ok(example)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Four white pictures of 8 x 8 pixels, the first two of one caption.
    fn source(folder: &std::path::Path) -> PairSource {
        let mut list = std::fs::File::create(folder.join("pairs.jsonl")).unwrap();
        for caption in ["a long one", "a long one", "b", "c"] {
            writeln!(
                list,
                r#"{{"source":"x","kind":"x","captions":["{caption}"],"mono":false,"split":"train"}}"#
            )
            .unwrap();
        }
        let pixels = vec![255; 4 * 8 * 8 * 4];
        let shape = vec![4, 8, 8, 4];
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::U8, shape, &pixels).unwrap();
        let bytes = safetensors::serialize([("images", view)], None).unwrap();
        std::fs::write(folder.join("pairs.safetensors"), bytes).unwrap();
        PairSource {
            set: PairSet::open(folder).unwrap(),
            preprocessor: Preprocessor::new(&flora_clip::ClipConfig::clip_nano().vision_config),
            captions: vec![vec![1, 2, 3, 4], vec![1, 5, 4], vec![1, 6, 4]],
            captions_of: vec![vec![0], vec![0], vec![1], vec![2]],
            augmentation: Augmentation::default(),
            patches: PatchDropout { all: 16, kept: 12, until: 3 },
            seed: 7,
        }
    }

    #[test]
    fn captions_come_once_and_the_shortest_first() {
        let folder = tempfile::tempdir().unwrap();
        let batch = source(folder.path()).batch(&[0, 3, 1, 2], None).unwrap();
        assert_eq!(batch.texts, [vec![1, 5, 4], vec![1, 6, 4], vec![1, 2, 3, 4]]);
        assert_eq!(batch.text_of, [2, 1, 2, 0]);
        assert_eq!(batch.pixels.len(), 4 * 3 * 8 * 8);
        assert!(batch.kept.is_none(), "validation sees whole pictures");
    }

    #[test]
    fn patches_are_hidden_until_the_last_passes() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let kept = |pass| source.batch(&[0, 1, 2, 3], Some(pass)).unwrap().kept;
        let first = kept(0).unwrap();
        for list in &first {
            assert_eq!(list.len(), 12);
            assert!(list.is_sorted_by(|a, b| a < b) && list.iter().all(|&patch| patch < 16));
        }
        assert_ne!(first[0], first[1], "each picture by itself");
        assert_ne!(Some(first), kept(1), "and in each pass anew");
        assert!(kept(3).is_none());
    }
}
