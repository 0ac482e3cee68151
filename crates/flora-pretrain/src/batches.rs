//! Batches of pairs, prepared ahead by a thread of their own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::tensor::Device;
use flora_clip::Preprocessor;
use rand::RngExt;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use crate::augment::plain;
use crate::{Augmentation, PairSet};

/// Pictures and captions of one step, on the host.
#[derive(Debug, Clone)]
pub(crate) struct PairBatch {
    /// Normalised pixels, one picture after the other.
    pub(crate) pixels: Vec<f32>,
    /// The ids of each caption.
    pub(crate) texts: Vec<Vec<u32>>,
    /// Equal where the captions are.
    pub(crate) groups: Vec<usize>,
}

/// Everything that batches are made from.
#[derive(Debug)]
pub(crate) struct PairSource {
    pub(crate) set: PairSet,
    pub(crate) preprocessor: Preprocessor,
    /// The ids of each different caption.
    pub(crate) captions: Vec<Vec<u32>>,
    /// The captions of each pair, as places in `captions`.
    pub(crate) captions_of: Vec<Vec<usize>>,
    pub(crate) augmentation: Augmentation,
    pub(crate) mono_share: f64,
    pub(crate) seed: u64,
}

/// burn's loader over a part of the pairs.
pub(crate) struct PairLoader {
    source: Arc<PairSource>,
    indices: Arc<Vec<usize>>,
    batch_size: usize,
    /// Shuffle and vary (training), or take the pictures as they are, in order (validation).
    training: bool,
    /// How often the loader was gone through: each pass has its own order and variations.
    passes: Arc<std::sync::atomic::AtomicU64>,
}

impl PairLoader {
    /// `passed` passes are taken as done, for a training that goes on.
    pub(crate) fn new(
        source: Arc<PairSource>,
        indices: Vec<usize>,
        batch_size: usize,
        training: bool,
        passed: usize,
    ) -> Self {
        let passes = Arc::new((passed as u64).into());
        Self { source, indices: Arc::new(indices), batch_size, training, passes }
    }

    /// Steps of a training pass: the last, incomplete batch would have fewer negatives and is left
    /// out.
    pub(crate) fn steps(&self) -> usize {
        let mono = self.indices.iter().filter(|&&index| self.is_mono(index)).count();
        let kept = self.indices.len() - mono + self.mono_kept(mono);
        kept / self.batch_size
    }

    fn training_order(&self, pass: u64) -> Vec<usize> {
        let mut random = flora_core::seed::stream(self.source.seed, &format!("order {pass}"));
        let (mut mono, mut order): (Vec<usize>, Vec<usize>) =
            self.indices.iter().partition(|&&index| self.is_mono(index));
        mono.shuffle(&mut random);
        order.extend(&mono[..self.mono_kept(mono.len())]);
        order.shuffle(&mut random);
        order.truncate(self.steps() * self.batch_size);
        order
    }

    fn is_mono(&self, index: usize) -> bool {
        self.source.set.pairs()[index].mono
    }

    fn mono_kept(&self, mono: usize) -> usize {
        (mono as f64 * self.source.mono_share) as usize
    }

    fn with_indices(&self, indices: Arc<Vec<usize>>) -> Self {
        Self {
            source: self.source.clone(),
            indices,
            batch_size: self.batch_size,
            training: self.training,
            passes: self.passes.clone(),
        }
    }
}

impl DataLoader<PairBatch> for PairLoader {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<PairBatch> + 'a> {
        let pass = self.passes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let order = if self.training { self.training_order(pass) } else { self.indices.to_vec() };
        let total = order.len();
        let (sender, batches) = sync_channel(2);
        let (source, training, size) = (self.source.clone(), self.training, self.batch_size);
        std::thread::spawn(move || {
            for chunk in order.chunks(size) {
                let batch = source.batch(chunk, training.then_some(pass));
                // The receiver is gone when the training was stopped.
                if sender.send((chunk.len(), batch)).is_err() {
                    break;
                }
            }
        });
        Box::new(PairIterator { batches, done: 0, total })
    }

    fn num_items(&self) -> usize {
        if self.training { self.steps() * self.batch_size } else { self.indices.len() }
    }

    fn to_device(&self, _device: &Device) -> Arc<dyn DataLoader<PairBatch>> {
        // Batches lie on the host: the model's step moves them.
        Arc::new(self.with_indices(self.indices.clone()))
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<PairBatch>> {
        Arc::new(self.with_indices(Arc::new(self.indices[start..end].to_vec())))
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

impl PairSource {
    /// The pairs of `indices`: varied with the streams of a training pass, or as they are.
    fn batch(&self, indices: &[usize], pass: Option<u64>) -> Result<PairBatch, DatasetError> {
        let examples = indices
            .par_iter()
            .map(|&index| self.example(index, pass))
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(DatasetError::new)?;
        let mut batch = PairBatch { pixels: Vec::new(), texts: Vec::new(), groups: Vec::new() };
        for (pixels, caption) in examples {
            batch.pixels.extend(pixels);
            batch.texts.push(self.captions[caption].clone());
            batch.groups.push(caption);
        }
        Ok(batch)
    }

    /// Normalised pixels and a caption.
    fn example(&self, index: usize, pass: Option<u64>) -> std::io::Result<(Vec<f32>, usize)> {
        let pixels = self.set.image(index)?;
        let captions = &self.captions_of[index];
        let side = self.set.side();
        let (mut image, caption) = match pass {
            Some(pass) => {
                let label = format!("pair {index} pass {pass}");
                let mut random = flora_core::seed::stream(self.seed, &label);
                let mono = self.set.pairs()[index].mono;
                let image = self.augmentation.apply(&pixels, side, mono, &mut random);
                (image, captions[random.random_range(0..captions.len())])
            }
            None => (plain(&pixels, side), captions[0]),
        };
        let Preprocessor { image_mean, image_std, .. } = self.preprocessor;
        for (channel, plane) in image.chunks_mut(side * side).enumerate() {
            for value in plane {
                *value = (*value - image_mean[channel]) / image_std[channel];
            }
        }
        Ok((image, caption))
    }
}
