//! Arithmetic of the workloads: multiply-adds of the necessary matrix products. A multiply-add is two floating-point
//! operations.
//!
//! The count is independent of the implementation. It includes the products that the result depends on:
//!
//! - the patch embedding, the projections of attention, its two products (in a causal tower only with earlier
//!   positions), the feed-forward layers, and the projections into the shared space;
//! - in a tower's last block, only the state from which its features are computed: one query, and the keys and values
//!   that it attends to;
//! - texts at their own lengths, without padding; the common beginning of a client's prompts counts once;
//! - in a backward pass, one product for the gradient of a layer's input and one for that of its weight, each if a
//!   trained parameter needs it. A frozen weight has none, and nothing below the first trained layer does; the products
//!   of attention have two inputs;
//! - similarities of images and texts.
//!
//! Norms, activations, softmax, sums, embeddings of tokens and the optimizer are not counted: they are not matrix
//! products, and cannot be compared with the matmul peak. Work without an effect on the result is not counted either.

use flora_clip::ClipConfig;

/// One input through a tower.
#[derive(Debug, Clone, Copy)]
struct Tower {
    /// Products before the first block.
    stem: u64,
    length: u64,
    width: u64,
    intermediate: u64,
    layers: u64,
    causal: bool,
    /// The number of needed states of the last block.
    wanted: u64,
    /// Width of the shared space.
    output: u64,
}

/// The products of a block, grouped by their gradients.
#[derive(Debug, Clone, Copy)]
struct Block {
    /// The number of positions with needed states.
    queries: u64,
    /// Queries, keys and values: products with weights.
    inputs: u64,
    /// The two products of attention.
    attention: u64,
    /// The output projection.
    project: u64,
    /// The feed-forward layers.
    feed_forward: u64,
}

impl Tower {
    fn vision(config: &ClipConfig) -> Self {
        let tower = &config.vision_config;
        let grid = (tower.image_size / tower.patch_size) as u64;
        let inputs = (tower.num_channels * tower.patch_size * tower.patch_size) as u64;
        Self {
            stem: grid * grid * inputs * tower.hidden_size as u64,
            length: grid * grid + 1,
            width: tower.hidden_size as u64,
            intermediate: tower.intermediate_size as u64,
            layers: tower.num_hidden_layers as u64,
            causal: false,
            wanted: 1,
            output: config.projection_dim as u64,
        }
    }

    fn text(config: &ClipConfig, length: usize) -> Self {
        let tower = &config.text_config;
        Self {
            stem: 0,
            length: length as u64,
            width: tower.hidden_size as u64,
            intermediate: tower.intermediate_size as u64,
            layers: tower.num_hidden_layers as u64,
            causal: true,
            wanted: 1,
            output: config.projection_dim as u64,
        }
    }

    /// A block with this many needed positions, each of which attends to `pairs / queries` positions on average.
    fn block(&self, queries: u64, pairs: u64) -> Block {
        let (length, width) = (self.length, self.width);
        Block {
            queries,
            inputs: (queries + 2 * length) * width * width,
            attention: 2 * pairs * width,
            project: queries * width * width,
            feed_forward: 2 * queries * width * self.intermediate,
        }
    }

    fn blocks(self) -> impl Iterator<Item = Block> {
        let (length, layers) = (self.length, self.layers);
        let pairs = if self.causal { length * (length + 1) / 2 } else { length * length };
        (1..=layers).map(move |layer| match layer == layers {
            // The class token attends to every patch, and an end token to every token up to it.
            true => self.block(self.wanted, self.wanted * length),
            false => self.block(length, pairs),
        })
    }

    fn projection(&self) -> u64 {
        self.width * self.output
    }

    fn forward(self) -> u64 {
        self.stem + self.blocks().map(|block| block.forward()).sum::<u64>() + self.projection()
    }

    /// Forward and backward with every weight trained.
    fn full_step(self) -> u64 {
        // The gradient of the pixels is not needed.
        3 * self.forward() - self.stem
    }

    /// Forward and backward with adapters of this rank on every output projection, everything else frozen.
    fn lora_step(self, rank: u64, constant: bool) -> u64 {
        self.lora_blocks(rank, constant) + 2 * self.projection()
    }

    /// The same for tokens in the common beginning of texts.
    fn lora_beginning(self, rank: u64, constant: bool) -> u64 {
        Self { wanted: 0, ..self }.lora_blocks(rank, constant)
    }

    fn lora_blocks(self, rank: u64, constant: bool) -> u64 {
        let blocks = self.blocks().enumerate().map(|(index, block)| {
            let adapter = 2 * block.queries * self.width * rank;
            let forward = block.forward() + adapter;
            match index {
                // The gradient ends in the first adapter, which does not need its input's gradient, and the block's
                // attention is the same in every step.
                0 => {
                    let known = if constant { block.inputs + block.attention } else { 0 };
                    forward - known + block.feed_forward + adapter + adapter / 2
                }
                _ => forward + block.forward() + block.attention + 2 * adapter,
            }
        });
        blocks.sum()
    }
}

impl Block {
    fn forward(&self) -> u64 {
        self.inputs + self.attention + self.project + self.feed_forward
    }
}

/// Multiply-adds of the features of `batch` images.
pub fn image_encode(config: &ClipConfig, batch: usize) -> u64 {
    batch as u64 * Tower::vision(config).forward()
}

/// Multiply-adds of the features of texts with these numbers of tokens, including their end tokens.
pub fn text_encode(config: &ClipConfig, lengths: &[usize]) -> u64 {
    lengths.iter().map(|&length| Tower::text(config, length).forward()).sum()
}

/// Multiply-adds of a step, forward and backward, with `batch` image features and these texts, which trains adapters of
/// the rank `rank` on the output projection of every block of the text tower.
///
/// With `beginning` the texts are the prompts of a client: this many tokens at the beginning are the same in all of
/// them and count once, and the states below the first adapter are known from an earlier step.
pub fn lora_step(
    config: &ClipConfig,
    batch: usize,
    lengths: &[usize],
    rank: usize,
    beginning: Option<usize>,
) -> u64 {
    let (rank, constant) = (rank as u64, beginning.is_some());
    let texts: u64 =
        lengths.iter().map(|&length| Tower::text(config, length).lora_step(rank, constant)).sum();
    // An end token follows the beginning.
    let shortest = lengths.iter().copied().min().unwrap_or(0).saturating_sub(1);
    let beginning = beginning.unwrap_or(0).min(shortest);
    let again = Tower::text(config, beginning).lora_beginning(rank, constant);
    let others = lengths.len().saturating_sub(1) as u64;
    // The features of the images are given.
    texts - others * again + 2 * similarities(config, batch, lengths.len())
}

/// Multiply-adds of a step, forward and backward, with `batch` images and these texts, which trains every weight.
pub fn full_step(config: &ClipConfig, batch: usize, lengths: &[usize]) -> u64 {
    let texts: u64 = lengths.iter().map(|&length| Tower::text(config, length).full_step()).sum();
    let images = batch as u64 * Tower::vision(config).full_step();
    images + texts + 3 * similarities(config, batch, lengths.len())
}

/// Multiply-adds of a weighted mean: one for each number of each client.
pub fn aggregation(clients: usize, parameters: usize) -> u64 {
    clients as u64 * parameters as u64
}

fn similarities(config: &ClipConfig, images: usize, texts: usize) -> u64 {
    images as u64 * texts as u64 * config.projection_dim as u64
}

#[cfg(test)]
mod tests;
