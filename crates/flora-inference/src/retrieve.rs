//! Retrieval: the rank of an image's text among all texts, and of a text's image among all images.

use burn::tensor::{Tensor, TensorData};
use flora_clip::normalize;
use flora_core::workers::Workers;
use flora_data::{Dataset, FeatureCache, FeatureRows, Texts};

use crate::encode::values;
use crate::{InferenceError, Model, Notice, image_features};

/// The ranks of the right answers, from 1. Ties count as better answers: a model that cannot distinguish items gets no
/// credit for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranks {
    /// The domain of these images, or the data set.
    pub name: String,
    /// The rank of the best text of each image among `texts` texts.
    pub of_text: Vec<usize>,
    /// The number of texts.
    pub texts: usize,
    /// The rank of the best image of each text that has one, among `images` images.
    pub of_image: Vec<usize>,
    /// The number of images.
    pub images: usize,
}

/// The ranks for each domain of a data set separately, in the order of the domains; without domains, for all of its
/// images. Images without a text are left out.
///
/// If an image has several texts, or a text several images, the best one counts: this is the retrieval recall of
/// [CLIP_benchmark](https://github.com/LAION-AI/CLIP_benchmark). Unlike there, equal texts count as one text.
///
/// # Errors
///
/// An image or a text that the model cannot process.
pub fn retrieve(
    model: &Model,
    dataset: &Dataset,
    texts: &Texts,
    cache: Option<&FeatureCache>,
    workers: &Workers,
    notify: &mut dyn FnMut(Notice),
) -> Result<Vec<Ranks>, InferenceError> {
    let features = image_features(model, dataset, cache, workers, notify)?;
    let embedded = model.embedder.texts(&texts.texts)?;
    let text_features = normalize(embedded).transpose();
    let groups: Vec<(String, Option<usize>)> = match dataset.domains() {
        [] => vec![(dataset.name().to_owned(), None)],
        domains => domains.iter().enumerate().map(|(at, name)| (name.clone(), Some(at))).collect(),
    };
    let ranks = |(name, domain): (String, Option<usize>)| -> Result<_, InferenceError> {
        let samples: Vec<usize> = (0..dataset.len())
            .filter(|&index| dataset.domain(index) == domain || domain.is_none())
            .filter(|&index| !texts.of[index].is_empty())
            .collect();
        if samples.is_empty() {
            return Ok(None);
        }
        let similarities = similarities(model, &features, &samples, &text_features)?;
        let own: Vec<&[usize]> = samples.iter().map(|&index| &texts.of[index][..]).collect();
        Ok(Some(rank(name, &similarities, &own, texts.texts.len())))
    };
    groups.into_iter().filter_map(|group| ranks(group).transpose()).collect()
}

/// `[samples, texts]`, row-major.
fn similarities(
    model: &Model,
    features: &FeatureRows,
    samples: &[usize],
    texts: &Tensor<2>,
) -> Result<Vec<f32>, InferenceError> {
    let rows = TensorData::new(features.gather(samples)?, [samples.len(), features.dim()]);
    let rows = Tensor::<2>::from_data(rows, model.embedder.device());
    Ok(values(normalize(rows).matmul(texts.clone())))
}

/// Ranks from similarities; `own` has the texts of each row.
fn rank(name: String, similarities: &[f32], own: &[&[usize]], texts: usize) -> Ranks {
    let of_text = similarities
        .chunks(texts)
        .zip(own)
        .map(|(row, own)| rank_of(row.iter().enumerate(), |text| own.contains(&text)))
        .collect();
    let mut images_of = vec![Vec::new(); texts];
    for (image, own) in own.iter().enumerate() {
        own.iter().for_each(|&text| images_of[text].push(image));
    }
    let with_image = images_of.iter().enumerate().filter(|(_, images)| !images.is_empty());
    let of_image = with_image
        .map(|(text, images)| {
            let column = similarities.chunks(texts).map(|row| &row[text]);
            rank_of(column.enumerate(), |image| images.binary_search(&image).is_ok())
        })
        .collect();
    Ranks { name, of_text, texts, of_image, images: own.len() }
}

/// The rank of the best `right` candidate: one plus the number of others that are not below it.
fn rank_of<'a>(
    candidates: impl Iterator<Item = (usize, &'a f32)> + Clone,
    right: impl Fn(usize) -> bool,
) -> usize {
    let mine = candidates.clone().filter(|&(at, _)| right(at));
    let best = mine.map(|(_, &value)| value).fold(f32::NEG_INFINITY, f32::max);
    1 + candidates.filter(|&(at, &value)| !right(at) && !is_below(value, best)).count()
}

/// NaN is not below anything: it gives no credit.
fn is_below(one: f32, other: f32) -> bool {
    one.partial_cmp(&other) == Some(std::cmp::Ordering::Less)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_from_one_and_ties_against_the_model() {
        // Images 0 and 2 show text 1, image 1 shows text 0; text 2 has no image.
        let similarities = [
            0.1, 0.9, 0.3, //
            0.5, 0.5, 0.9, //
            0.2, 0.1, 0.1, //
        ];
        let ranks = rank("x".into(), &similarities, &[&[1], &[0], &[1]], 3);
        assert_eq!(ranks.of_text, [1, 3, 3]);
        assert_eq!((ranks.texts, ranks.images), (3, 3));
        // Text 0: image 1 is best. Text 1: its image 0 is best.
        assert_eq!(ranks.of_image, [1, 1]);
        let ranks = rank("x".into(), &[0.5, 0.5, 0.5, 0.5], &[&[0], &[1]], 2);
        assert_eq!((ranks.of_text, ranks.of_image), (vec![2, 2], vec![2, 2]));
        let ranks = rank("x".into(), &[f32::NAN; 4], &[&[0], &[1]], 2);
        assert_eq!((ranks.of_text, ranks.of_image), (vec![2, 2], vec![2, 2]));
    }

    /// Recalls by CLIP_benchmark's `recall_at_k`: `tests/retrieval_reference.py`.
    #[test]
    fn several_texts_an_image_are_ranked_as_clip_benchmark_does() {
        #[derive(serde::Deserialize)]
        struct Reference {
            texts: usize,
            own: Vec<Vec<usize>>,
            similarities: Vec<f32>,
            image_to_text: [f64; 3],
            text_to_image: [f64; 3],
        }
        let reference = include_str!("../tests/retrieval_reference.json");
        let it: Reference = serde_json::from_str(reference).unwrap();
        let own: Vec<&[usize]> = it.own.iter().map(Vec::as_slice).collect();
        let ranks = rank("x".into(), &it.similarities, &own, it.texts);
        assert_eq!((ranks.of_text.len(), ranks.of_image.len()), (own.len(), it.texts));
        let recalls = |ranks: &[usize]| {
            [1, 5, 10].map(|most| {
                let found = ranks.iter().filter(|&&rank| rank <= most).count();
                found as f64 / ranks.len() as f64
            })
        };
        assert_eq!(recalls(&ranks.of_text), it.image_to_text);
        assert_eq!(recalls(&ranks.of_image), it.text_to_image);
    }
}
