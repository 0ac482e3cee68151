//! Comparison with figures that were computed by hand.

use super::*;

/// ViT-B/32 sees 49 patches and a class token, 768 wide:
///
/// - patches: 49 x (3 x 32 x 32) x 768 = 115,605,504
/// - a whole block: 50 x (4 x 768^2 + 2 x 768 x 3072) = 353,894,400 of weights, and
///   2 x 50^2 x 768 = 3,840,000 of attention
/// - projection: 768 x 512 = 393,216
#[test]
fn an_image_of_vit_b_32() {
    let config = ClipConfig::vit_base_patch32();
    let tower = Tower::vision(&config);
    let whole = tower.block(50, 2500).forward();
    assert_eq!(whole, 357_734_400);
    // As most papers count: every block as a whole.
    let published = tower.stem + 12 * whole + tower.projection();
    assert_eq!(published, 4_408_811_520);

    // The last block: keys and values of 50, query, output and feed-forward of one, attention of one to 50.
    let last: u64 = 2 * 50 * 768 * 768 + 2 * 768 * 768 + 2 * 768 * 3072 + 2 * 50 * 768;
    assert_eq!(last, 64_957_440);
    assert_eq!(image_encode(&config, 1), published - whole + last);
    assert_eq!(image_encode(&config, 32), 32 * 4_116_034_560);
}

/// A text of 77 tokens, 512 wide:
///
/// - a whole block: 77 x (4 x 512^2 + 2 x 512 x 2048) = 242,221,056 of weights, and
///   2 x (77 x 78 / 2) x 512 = 3,075,072 of causal attention
/// - projection: 512 x 512 = 262,144
#[test]
fn a_text_of_77_tokens() {
    let config = ClipConfig::vit_base_patch32();
    let tower = Tower::text(&config, 77);
    let whole = tower.block(77, 3003).forward();
    assert_eq!(whole, 245_296_128);
    // 2.98e9 with the attention to later positions, which is masked out.
    assert_eq!(12 * whole + tower.projection(), 2_943_815_680);
    let last: u64 = 2 * 77 * 512 * 512 + 2 * 512 * 512 + 2 * 512 * 2048 + 2 * 77 * 512;
    assert_eq!(text_encode(&config, &[77]), 11 * whole + last + 262_144);
    assert_eq!(text_encode(&config, &[77, 77]), 2 * 2_741_590_016);
    assert_eq!(
        text_encode(&config, &[8, 12]),
        text_encode(&config, &[8]) + text_encode(&config, &[12])
    );
}

/// Forward 2,741,590,016 and adapters of rank 2: 77 x 2 x 2 x 512 = 157,696 in each of 11 blocks, 2,048 in the
/// last. Backward:
///
/// - projection: 262,144
/// - feed-forward, down to the first block: 11 x 77 x 2,097,152 and 2,097,152
/// - the ten blocks between: 77 x 4 x 512^2 = 80,740,352 of weights, twice 3,075,072 of attention
/// - the last: 40,370,176 of keys and values, 524,288 of query and output, twice 78,848 of attention
/// - adapters: 3 x 77 x 2 x 512 in the first block, 4 x 77 x 2 x 512 in ten, 4 x 2 x 512 in the last
#[test]
fn a_step_of_the_papers_adapters() {
    let config = ClipConfig::vit_base_patch32();
    let forward = 2_741_590_016 + 11 * 157_696 + 2_048;
    let backward = 262_144
        + (11 * 77 + 1) * 2_097_152
        + 10 * (80_740_352 + 2 * 3_075_072)
        + (40_370_176 + 524_288 + 2 * 78_848)
        + (236_544 + 10 * 315_392 + 4_096);
    let similarity = 2 * 512;
    assert_eq!(lora_step(&config, 1, &[77], 2, None), forward + backward + similarity);
    // Queries, keys, values and attention of the first block are the same in every step.
    let known = 77 * 3 * 512 * 512 + 3_075_072;
    assert_eq!(lora_step(&config, 1, &[77], 2, Some(1)), forward + backward + similarity - known);
    // Ten texts for 32 images.
    let tens = lora_step(&config, 32, &[77; 10], 2, None);
    assert_eq!(tens, 10 * (forward + backward) + 2 * 32 * 10 * 512);
}

/// Five tokens that ten prompts share, of which nothing below the first adapter is computed:
///
/// - the first block, forward: 5 x (512^2 + 2 x 512 x 2048) and adapters of 5 x 2,048; backward: the feed-forward
///   layers and 5 x 3,072 of the adapters
/// - the ten between: 5 x (4 x 512^2 + 2 x 512 x 2048) and 2 x 15 x 512 of attention, forward and backward, the
///   attention once more, and adapters of 5 x 2,048, forward and twice backward
/// - the last: keys and values, forward and backward
#[test]
fn a_common_beginning_counts_once() {
    let config = ClipConfig::vit_base_patch32();
    let (square, feed_forward, adapter) = (262_144, 2_097_152, 2_048);
    let first = 5 * (square + feed_forward + adapter) + 5 * (feed_forward + adapter + adapter / 2);
    let between = 2 * 5 * (4 * square + feed_forward) + 3 * 15_360 + 3 * 5 * adapter;
    let last = 2 * 5 * 2 * square;
    let alone = lora_step(&config, 1, &[12], 2, Some(5));
    assert_eq!(alone, lora_step(&config, 1, &[12], 2, Some(1)), "nobody to share with");
    let ten = lora_step(&config, 1, &[12; 10], 2, Some(5));
    assert_eq!(ten, 10 * alone - 9 * (first + 10 * between + last));
}

#[test]
fn a_step_of_every_weight_is_three_forwards() {
    let config = ClipConfig::vit_base_patch32();
    let towers = 3 * (4_116_034_560 + 2_741_590_016) - 115_605_504;
    assert_eq!(full_step(&config, 1, &[77]), towers + 3 * 512);
    assert_eq!(full_step(&config, 4, &[77; 4]), 4 * towers + 3 * 4 * 4 * 512);
}

#[test]
fn a_tower_of_one_block_has_a_first_and_last() {
    let mut config = ClipConfig::clip_nano();
    config.text_config.num_hidden_layers = 1;
    // Forward: keys and values of 5, query and output of one, its attention, feed-forward, projection; the
    // adapter's 2 x 192. Backward: projection and feed-forward, three of the adapter's four.
    let (square, feed_forward) = (192 * 192, 2 * 192 * 768);
    let forward = 12 * square + 2 * 5 * 192 + feed_forward + square + 2 * 192;
    let backward = square + feed_forward + 3 * 192;
    assert_eq!(lora_step(&config, 1, &[5], 1, None), forward + backward + 2 * 192);
}

#[test]
fn a_mean_is_an_addition_for_each_number() {
    assert_eq!(aggregation(10, 24_576), 245_760);
}
