use flora_clip::TextConfig;
use rand_distr::{Distribution, Uniform};

/// Texts of these lengths: the start token, random words, and the end token in the last position. No text has padding,
/// so that no work can be skipped. The first `beginning` tokens are the same in all.
pub(crate) fn random_texts(
    lengths: &[usize],
    beginning: usize,
    config: &TextConfig,
) -> Vec<Vec<u32>> {
    let largest = config.vocab_size as u32 - 1;
    // Configurations before transformers 4.31 have 2 here, which means the largest id.
    let end = if config.eos_token_id == 2 { largest } else { config.eos_token_id };
    // This id exists, whatever the configuration.
    let start = config.bos_token_id.min(largest);
    let mut random = flora_core::seed::stream(0, "bench texts");
    let words = Uniform::new_inclusive(0, largest).expect("at least one id");
    let mut word = || match words.sample(&mut random) {
        word if word == end => start,
        word => word,
    };
    let beginning: Vec<u32> =
        std::iter::once(start).chain((1..beginning).map(|_| word())).collect();
    let text = |&length: &usize| {
        let mut ids = beginning[..beginning.len().min(length - 1)].to_vec();
        ids.extend((ids.len()..length - 1).map(|_| word()));
        ids.push(end);
        ids
    };
    lengths.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flora_clip::{Padding, Tokens};

    #[test]
    fn the_end_is_the_last_token() {
        let old = TextConfig { bos_token_id: 0, eos_token_id: 2, ..TextConfig::default() };
        for config in [TextConfig::default(), old] {
            let texts = random_texts(&[77, 2, 12], 5, &config);
            assert_eq!(texts.iter().map(Vec::len).collect::<Vec<_>>(), [77, 2, 12]);
            assert_eq!(texts[0][..5], texts[2][..5]);
            assert_ne!(texts[0][5], texts[2][5]);
            let tokens = Tokens::new(&texts, Padding::Longest, &config).unwrap();
            assert_eq!(tokens.ends(), [76, 1, 11]);
        }
    }
}
