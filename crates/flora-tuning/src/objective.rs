//! The loss of a batch and the predictions of a model.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use flora_clip::{Padding, Preprocessor, TextPrefix, VisionCut, loss, normalize};
use flora_data::{Dataset, FeatureRows, Features};
use flora_inference::pixels;

use crate::heads::indices;
use crate::{
    ClassTerms, Implementation, LossKind, Method, Prompts, SoftmaxKind, TuningError, TuningModel,
    Views,
};

/// The source of image features.
#[derive(Debug, Clone)]
pub enum ImageInput {
    /// Features by the frozen vision tower, computed once per image.
    Features(Arc<FeatureRows>),
    /// The same on the device: `[images, projection_dim]`. A step copies only the indices of its images there.
    Resident(Tensor<2>),
    /// States below the first adapter of the vision tower, computed once per image.
    Activations {
        /// The output of [`TuningModel::image_prefix`] for each image.
        below: Arc<FeatureRows>,
        /// The position at which the tower continues.
        cut: VisionCut,
    },
    /// Images that go through the vision tower whenever they are needed.
    Pictures {
        /// The images.
        dataset: Arc<Dataset>,
        /// The preprocessing of the images.
        preprocessor: Preprocessor,
    },
    /// Every image preprocessed and in memory: `[images, 3, size, size]`, on the model's device.
    Pixels(Tensor<4>),
}

/// All inputs of a batch's loss and an image's prediction except the trained parameters. Shared by all clients.
#[derive(Debug, Clone)]
pub struct Objective {
    /// The method, which trains and predicts.
    pub method: Arc<dyn Method>,
    /// The images.
    pub images: ImageInput,
    /// Views of the images for training, if it does not use the originals.
    pub views: Option<Views>,
    /// The class names, for weights by name.
    pub class_names: Arc<Vec<String>>,
    /// The class of each image.
    pub labels: Arc<Vec<usize>>,
    /// The prompts.
    pub prompts: Prompts,
    /// Normalised features of the prompts, if training does not change them and the path is not naive.
    pub texts: Option<Arc<Features>>,
    /// The states of every prompt below all trained parameters, if the path is not naive.
    pub prefix: Option<TextPrefix>,
    /// Groups of classes, each class in one, within which an image's class is predicted. See
    /// [`Partition::class_groups`](flora_data::Partition::class_groups).
    pub class_groups: Option<Vec<Vec<usize>>>,
    /// The frozen factor on cosine similarities, `exp` of CLIP's `logit_scale` parameter.
    pub logit_scale: f32,
    /// The loss.
    pub loss: LossKind,
    /// The classes in a client's softmax during training.
    pub softmax: SoftmaxKind,
    /// How the loss is computed.
    pub implementation: Implementation,
}

/// The score of a model on some images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Score {
    /// Share of the images whose class is the most similar, in `[0, 1]`.
    pub(crate) accuracy: f64,
    /// Mean cross-entropy over the classes, in nats.
    pub(crate) loss: f64,
}

/// Why class weights are not possible.
pub(crate) const NO_CLASSES: &str = "the infonce loss compares the images of a batch with each other and uses no \
                                     classes; choose method.loss = \"class-ce\", or leave the weights out";

/// Why a client's classes are not used.
pub(crate) const NO_SOFTMAX: &str = "the infonce loss compares the images of a batch with each other and uses no \
                                     classes; choose method.loss = \"class-ce\", or leave it out";

/// Batch size for a frozen vision tower in evaluation.
pub(crate) const EVALUATION_BATCH: usize = 256;

impl Objective {
    /// With the method's usual loss, on the fast path, all classes together, and nothing precomputed.
    pub fn new(
        method: Arc<dyn Method>,
        images: ImageInput,
        labels: Vec<usize>,
        prompts: Prompts,
        logit_scale: f32,
    ) -> Self {
        Self {
            loss: method.usual_loss(),
            method,
            images,
            views: None,
            labels: Arc::new(labels),
            class_names: Arc::default(),
            prompts,
            texts: None,
            prefix: None,
            class_groups: None,
            logit_scale,
            softmax: SoftmaxKind::All,
            implementation: Implementation::Fast,
        }
    }

    /// The loss of the images `indices`, `[1]`, in nats.
    ///
    /// The naive path is the definition. The fast path skips redundant work: equal prompts are encoded once and their
    /// features gathered, prompts end at the longest, and states below all trained parameters come from the prefix.
    ///
    /// # Errors
    ///
    /// An image that cannot be read.
    pub fn batch_loss(
        &self,
        model: &TuningModel,
        indices: &[usize],
        device: &Device,
    ) -> Result<Tensor<1>, TuningError> {
        self.client_loss(model, indices, &ClassTerms::default(), device)
    }

    /// The same for a client with class weights or its own softmax: `terms` have one number per class.
    ///
    /// # Errors
    ///
    /// An image that cannot be read, and terms for [`LossKind::Infonce`], which compares images with texts and not with
    /// classes.
    ///
    /// # Panics
    ///
    /// Panics if the offset of an image's own class is minus infinity.
    pub fn client_loss(
        &self,
        model: &TuningModel,
        indices: &[usize],
        terms: &ClassTerms,
        device: &Device,
    ) -> Result<Tensor<1>, TuningError> {
        let ClassTerms { weights, offsets } = terms;
        if self.loss == LossKind::Infonce {
            if weights.is_some() {
                return Err(TuningError::ClassWeights(NO_CLASSES.to_owned()));
            }
            if offsets.is_some() {
                return Err(TuningError::Softmax(NO_SOFTMAX.to_owned()));
            }
        }
        let images = self.image_features(model, indices, device)?;
        let labels: Vec<usize> = indices.iter().map(|&index| self.labels[index]).collect();
        Ok(match self.loss {
            LossKind::ClassCe => {
                let mut classes = self.candidates(&labels);
                if let Some(offsets) = offsets {
                    classes.retain(|&class| offsets[class] > f32::NEG_INFINITY);
                }
                let logits = self.method.logits(self, model, images, &classes);
                let logits = match offsets {
                    None => logits,
                    Some(offsets) => add_to_classes(logits, &classes, offsets),
                };
                let places = places(&labels, &classes);
                match weights {
                    None => loss::class_cross_entropy(logits, &places),
                    Some(weights) => {
                        let weights: Vec<f32> =
                            labels.iter().map(|&label| weights[label]).collect();
                        loss::weighted_class_cross_entropy(logits, &places, &weights)
                    }
                }
            }
            LossKind::Infonce => loss::contrastive(match self.implementation {
                Implementation::Naive => self.method.logits(self, model, images, &labels),
                Implementation::Fast => {
                    let (distinct, places) = distinct(&labels, device);
                    self.method.logits(self, model, images, &distinct).select(1, places)
                }
            }),
        })
    }

    /// Accuracy and loss on the images `indices`, with a model without autodiff.
    ///
    /// # Errors
    /// Images that cannot be read, and [`TuningError::Collapsed`].
    pub(crate) fn score(
        &self,
        model: &TuningModel,
        indices: &[usize],
        device: &Device,
    ) -> Result<Score, TuningError> {
        let (mut right, mut loss) = (0usize, 0f64);
        // A layer norm turns values whose squares overflow into zeros, so no NaN would reveal the problem.
        let mut collapsed = !indices.is_empty();
        for indices in self.by_group(indices) {
            let (classes, logits) = self.group_logits(model, &indices, device)?;
            let labels: Vec<usize> = indices.iter().map(|&index| self.labels[index]).collect();
            let labels = places(&labels, &classes);
            for (row, label) in logits.chunks(classes.len()).zip(labels) {
                let most = highest(row);
                collapsed &= is_flat(row);
                right += usize::from(prediction(row) == Some(label));
                let sum: f64 = row.iter().map(|&logit| f64::from(logit - most).exp()).sum();
                loss += sum.ln() - f64::from(row[label] - most);
            }
        }
        if collapsed {
            return Err(TuningError::Collapsed);
        }
        let count = indices.len().max(1) as f64;
        Ok(Score { accuracy: right as f64 / count, loss: loss / count })
    }

    /// The logits of [`Objective::score`], row-major, `[indices, classes]` over all classes: minus infinity for classes
    /// outside an image's group.
    pub(crate) fn logits(
        &self,
        model: &TuningModel,
        indices: &[usize],
        device: &Device,
    ) -> Result<Vec<f32>, TuningError> {
        let all = self.prompts.classes();
        let mut rows: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
        let mut collapsed = !indices.is_empty();
        for indices in self.by_group(indices) {
            let (classes, logits) = self.group_logits(model, &indices, device)?;
            for (index, values) in indices.into_iter().zip(logits.chunks(classes.len())) {
                collapsed &= is_flat(values);
                let mut row = vec![f32::NEG_INFINITY; all];
                for (&class, &value) in classes.iter().zip(values) {
                    row[class] = value;
                }
                rows.insert(index, row);
            }
        }
        if collapsed {
            return Err(TuningError::Collapsed);
        }
        Ok(indices.iter().flat_map(|index| &rows[index]).copied().collect())
    }

    /// The classes of these images' common group, and their logits, `[indices, classes]`.
    fn group_logits(
        &self,
        model: &TuningModel,
        indices: &[usize],
        device: &Device,
    ) -> Result<(Vec<usize>, Vec<f32>), TuningError> {
        let chunks = indices.chunks(EVALUATION_BATCH);
        let images = chunks.map(|chunk| self.image_features(model, chunk, device));
        let images = Tensor::cat(images.collect::<Result<Vec<_>, _>>()?, 0);
        let labels: Vec<usize> = indices.iter().map(|&index| self.labels[index]).collect();
        let classes = self.candidates(&labels);
        let logits = self.method.logits(self, model, images, &classes);
        let logits = logits.into_data().convert::<f32>();
        Ok((classes, logits.try_into_vec::<f32>().expect("just converted")))
    }

    /// The objective in the training epoch with this number, counted over all rounds: of images with several views, it
    /// uses one.
    pub(crate) fn in_epoch(&self, number: u128) -> Cow<'_, Self> {
        match &self.views {
            None => Cow::Borrowed(self),
            Some(views) => Cow::Owned(Self { views: Some(views.of_epoch(number)), ..self.clone() }),
        }
    }

    /// The objective for one model without autodiff, with its prompts encoded once, in the batches in which
    /// [`Objective::score`] would encode them each time, so that scores are bit-identical.
    pub(crate) fn with_texts(&self, model: &TuningModel, device: &Device) -> Self {
        let asks_texts = !self.method.has_head();
        if self.texts.is_some() || self.implementation == Implementation::Naive || !asks_texts {
            return self.clone();
        }
        let count = self.prompts.classes();
        let all = || vec![(0..count).collect()];
        let mut values = Vec::new();
        let mut dim = 0;
        for mut classes in self.class_groups.clone().unwrap_or_else(all) {
            if classes.is_empty() {
                continue;
            }
            classes.sort_unstable();
            let texts = self.text_features(model, &classes, device);
            dim = texts.dims()[1];
            values.resize(count * dim, 0.0);
            let rows = texts.into_data().convert::<f32>();
            let rows = rows.try_into_vec::<f32>().expect("just converted");
            for (row, class) in rows.chunks(dim).zip(classes) {
                values[class * dim..(class + 1) * dim].copy_from_slice(row);
            }
        }
        Self { texts: Some(Arc::new(Features { dim, values })), ..self.clone() }
    }

    /// The candidate classes for these labels: all, or those of their groups.
    fn candidates(&self, labels: &[usize]) -> Vec<usize> {
        let Some(groups) = &self.class_groups else { return (0..self.prompts.classes()).collect() };
        let asked = |group: &&Vec<usize>| labels.iter().any(|label| group.contains(label));
        let mut classes: Vec<usize> = groups.iter().filter(asked).flatten().copied().collect();
        classes.sort_unstable();
        classes
    }

    /// The images of each group of classes that occurs.
    fn by_group(&self, indices: &[usize]) -> Vec<Vec<usize>> {
        let all = || std::iter::once(indices.to_vec());
        let Some(groups) = &self.class_groups else {
            return all().filter(|indices| !indices.is_empty()).collect();
        };
        let of = |group: &Vec<usize>| -> Vec<usize> {
            indices.iter().copied().filter(|&index| group.contains(&self.labels[index])).collect()
        };
        groups.iter().map(of).filter(|indices| !indices.is_empty()).collect()
    }

    /// `[indices, projection_dim]`.
    pub(crate) fn image_features(
        &self,
        model: &TuningModel,
        indices: &[usize],
        device: &Device,
    ) -> Result<Tensor<2>, TuningError> {
        let shown = self.views.as_ref().and_then(|views| views.shown(indices));
        let (images, indices) = match &shown {
            Some((images, numbers)) => (*images, &numbers[..]),
            None => (&self.images, indices),
        };
        match images {
            ImageInput::Features(features) => gather(features, indices, device),
            ImageInput::Resident(features) => Ok(select(features, indices, device)),
            ImageInput::Activations { below, cut } => {
                Ok(model.image_features_from(gather(below, indices, device)?, *cut))
            }
            ImageInput::Pictures { dataset, preprocessor } => {
                let pixels = pixels(preprocessor, dataset, indices)?;
                Ok(model.image_features(preprocessor.stack(pixels, device)))
            }
            ImageInput::Pixels(pixels) => Ok(model.image_features(select(pixels, indices, device))),
        }
    }

    /// CLIP's logits: cosine similarities of image features of any norm, `[batch, projection_dim]`, and the prompts of
    /// `classes`, times the factor; `[batch, classes.len()]`.
    pub fn similarities(
        &self,
        model: &TuningModel,
        images: Tensor<2>,
        classes: &[usize],
    ) -> Tensor<2> {
        let texts = self.text_features(model, classes, &images.device());
        normalize(images).matmul(texts.transpose()).mul_scalar(self.logit_scale)
    }

    /// Normalised features of the prompts of `classes`, one row each.
    pub(crate) fn text_features(
        &self,
        model: &TuningModel,
        classes: &[usize],
        device: &Device,
    ) -> Tensor<2> {
        if let Some(texts) = &self.texts {
            let rows: Vec<f32> =
                classes.iter().flat_map(|&class| texts.row(class)).copied().collect();
            return Tensor::from_data(TensorData::new(rows, [classes.len(), texts.dim]), device);
        }
        if let (Some(prefix), Implementation::Fast) = (&self.prefix, self.implementation) {
            return normalize(model.text_features_from(prefix, classes));
        }
        let padding = match self.implementation {
            Implementation::Fast => Padding::Longest,
            Implementation::Naive => Padding::Context,
        };
        normalize(model.text_features(&self.prompts.tokens(classes, padding)))
    }
}

/// Cached rows, one for each image.
fn gather(
    rows: &FeatureRows,
    indices: &[usize],
    device: &Device,
) -> Result<Tensor<2>, TuningError> {
    let values = TensorData::new(rows.gather(indices)?, [indices.len(), rows.dim()]);
    Ok(Tensor::from_data(values, device))
}

/// Rows on the device, with autodiff if `device` has it.
fn select<const D: usize>(all: &Tensor<D>, indices: &[usize], device: &Device) -> Tensor<D> {
    let rows = crate::heads::indices(indices, &device.clone().inner());
    let rows = all.clone().inner().select(0, rows);
    if device.is_autodiff() { rows.autodiff() } else { rows }
}

fn highest(logits: &[f32]) -> f32 {
    logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Whether all logits are equal.
fn is_flat(logits: &[f32]) -> bool {
    let most = highest(logits);
    logits.len() > 1 && logits.iter().all(|&logit| logit == most)
}

/// The index of the first maximum; `None` if every logit is NaN.
pub(crate) fn prediction(logits: &[f32]) -> Option<usize> {
    let most = highest(logits);
    logits.iter().position(|&logit| logit == most)
}

/// The index of each label in `classes`, which are sorted.
fn places(labels: &[usize], classes: &[usize]) -> Vec<usize> {
    let place = |label| classes.binary_search(label).expect("every label is among the classes");
    labels.iter().map(place).collect()
}

/// Adds the offset of each column's class. An offset that is the same for all classes would change nothing.
fn add_to_classes(logits: Tensor<2>, classes: &[usize], offsets: &[f32]) -> Tensor<2> {
    let row: Vec<f32> = classes.iter().map(|&class| offsets[class]).collect();
    if row.iter().all(|&offset| offset == row[0]) {
        return logits;
    }
    let row = TensorData::new(row, [1, classes.len()]);
    let row = Tensor::from_data(row, &logits.device());
    logits + row
}

/// The distinct classes, and the index of each label among them.
fn distinct(labels: &[usize], device: &Device) -> (Vec<usize>, Tensor<1, Int>) {
    let mut distinct = labels.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let places = indices(&places(labels, &distinct), device);
    (distinct, places)
}
